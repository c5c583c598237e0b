// Package interop tests the suite with mail programs that others wrote: each
// file under testdata is one claim, in the language of tests/script with the
// commands below.
//
// testdata/clients has the programs that send mail to us, testdata/nexthop what
// every server that we send to must do, run with Postfix, Exim and OpenSMTPD in
// turn, testdata/relay the same servers as our clients, testdata/login
// what they say to our logins (Postfix asks Dovecot, which has SCRAM), and
// testdata/lmtp Dovecot. The servers of lookups (directories and databases) are tested in
// tests/interop/lookups.
//
// The tests need root (the servers start as root), and what install.sh
// installs: `make interop`, which also builds the programs. One alone:
//
//	go test -tags interop ./tests/interop -run NextHop/postfix/mail
//
// # Servers
//
// Each server runs in a root directory of its own, made of links to the files
// that install.sh has unpacked, with the configuration from peers/NAME; it
// listens on loopback alone. It is ended with its script: whatever process has
// that root directory is its own. Nothing of a server that the machine runs is
// read, used or touched.
//
//	peer start [-relay ADDRESS] [-without WORDS] [-max-rcpt N] [-overshoot N] [-later NAME] [-rcpt-check-quota yes]
//	           [-at IP] [-login MECHANISMS]
//	                            start $PEER; it takes mail for far.test at $PEER_IP:$PORT,
//	                            into Maildirs that wait-mail and get-mail know as
//	                            peer/LOCALPART. refused@ and nobody@ get 5yz, later@
//	                            (or NAME@) 450. All else it relays to ADDRESS. WORDS are
//	                            the extensions not to offer: chunking,starttls ...; behind N
//	                            RCPTs come 452, behind N more Postfix hangs up. With -login
//	                            it wants to know who sends, by one of these; with -at it
//	                            listens there, as $PEER_IP
//	peer restart [...]          end it, and start it with other settings
//	peer stop                   end it
//	peer send FROM FILE RCPT... hand it a message over SMTP
//	peer log REGEXP             wait until its log, $PEER_LOG, has a line like that
//
// A script that has no etc/NAME of its own gets that of its directory.
//
// The condition [peer:NAME] tells which server it is.
package interop
