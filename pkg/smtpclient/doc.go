// Package smtpclient is smtp-client, the client side of SMTP and LMTP: it takes
// a job (one message for some recipients of one next hop, with the servers to
// try), holds the dialogue with a server, and says what became of each
// recipient.
//
// # Promises
//
// A recipient is Delivered only by a 2yz reply to the end of the content that
// was sent for him; that reply counts even if the server dies right after it.
// A recipient is Failed only by a 5yz where the server may say no to him or to
// the message, or because the message cannot go to that server as it is.
// Everything else is Deferred: what makes no sense where it came, and a
// connection that ends. The content goes out octet by octet as it was
// accepted, or not at all. Exceptions are RFC 6152's conversion of a simple 8-bit
// text to quoted-printable for a server without 8BITMIME, and what the
// administrator wants changed.
//
// A server decides in this order:
//
//   - No connection, a greeting or EHLO that is refused, an end of the
//     connection before the end of the content, a temporary refusal of MAIL:
//     the next host of the job is tried; after the last, all wait.
//   - A refusal of MAIL decides over what is said to the commands behind it.
//   - A refusal of RCPT is for that recipient. "Too many recipients" (452, and
//     552, which RFC 5321, section 4.5.3.1.10 makes the same) sends him in the
//     next transaction on the same connection, as long as each gets further.
//   - 503 is never a verdict: we know that the sequence was right, so the
//     server has lost count. Nor is a code of another class than the command
//     has. The connection is dropped.
//   - Once the end of the content has been sent, a connection that ends leaves
//     the recipient Deferred and no other host is asked: he may get the message
//     twice, never not at all.
//   - A server that has our own name, on the port of SMTP, is ourselves: the
//     message fails with 5.4.6, and no further host is asked.
//   - A line above 998 octets fails with 5.6.0 (not for LMTP, whose server
//     stores the message and does not relay it), binary or 8-bit content that
//     the server does not take with 5.6.3, addresses or headers that need
//     SMTPUTF8 with 5.6.7, a message above the server's SIZE with 5.3.4.
//
// # Changes on the way out
//
// The fields that a job and its transport take out and add, and the addresses
// that the rules of the transport rewrite, are changed before the first server
// is tried, in this order; all that is decided and declared (SIZE, 8BITMIME,
// SMTPUTF8, the length of lines) is that of the changed message. Only the header
// is held in memory, within limits; content streams as it does else. Outcomes
// stay with the places of the recipients in the job. While a lookup that a rule
// asks can't be asked, the whole job is Deferred; so is one whose changes make no
// sense (a field about the recipient, for several of them), as these are our own
// doing. A header too big to be changed fails with 5.6.0.
//
// # Logging in
//
// With a user name, from the job or else the transport's, a server is talked to
// only after AUTH: SCRAM-SHA-256, PLAIN or LOGIN, the first that it has. The
// password goes nowhere but over TLS 1.2 or later whose certificate is one for
// the server's name, by an authority of this machine's list, or to this machine
// itself. Whatever goes wrong defers: the server speaks of our configuration,
// not of the mail. A connection that is logged in is never used for anybody
// else's mail. Passwords are in no text that leaves this package; a server's
// words that quote one are left out. With SCRAM a server must prove that it
// knows the password too, and may ask for limited work only.
//
// # Call-outs
//
// A server is asked whether it would take mail for a recipient, by MAIL and RCPT
// on a connection like others, and told to forget it. There is never a DATA. 2yz
// to that RCPT is Delivered, 5yz Failed; whatever is said to anything else proves
// nothing about the recipient and is Deferred, as is all that takes too long.
// Call-outs have places of their own, beside those of the deliveries; the
// connections to one server are bounded together.
//
// # Connections
//
// Connections are kept and shared between the jobs of one transport to one
// address, port, TLS policy and login, within limits on number, uses, age and idle
// time. Before a kept one is used, it is looked at for octets that nobody
// asked for. If it dies before the server has acknowledged anything of the
// message, the job gets a fresh one, and nothing has happened.
//
// # Refusals
//
// No name is looked up here: hosts come with their addresses, from router.
// Where nobody logs in, certificates are not verified: TLS is opportunistic (RFC
// 7435), and a server where it fails gets the message in clear, but for port 465,
// where TLS comes first (RFC 8314, section 3.3). dispatch alone may have mail
// delivered, router alone may call out.
//
// # Files
//
// transaction.go is the dialogue from MAIL to the last reply as a state machine
// without clock or socket, judge.go what a reply means, plan.go and commands.go
// how a message goes to a server of given abilities; all these are pure.
// edit.go, leave.go, header.go and rewrite.go change a message on its way out;
// sasl.go has the mechanisms of AUTH without socket, auth.go their dialogue;
// callout.go calls out. chat.go, open.go, session.go and send.go hold the
// conversation, observe.go tells what a new connection shows of a server and
// follows what is known of it (pkg/quirk), pool.go shares the sessions, delivery.go takes one job through
// its hosts.
//
// # Security
//
// The process has no file system and no exec; it connects to any TCP port and
// to the Unix sockets of the configured LMTP transports. Replies are bounded in
// line, lines and octets, waits by RFC 5321, section 4.5.3.2, and each job by a
// total time. What a server said is untrusted.Text. The certificates of
// authorities are read before confinement, and again by the next process only.
//
// # Diagnostics
//
// Outcomes are told by dispatch. With debugging on, a note for each server
// that did not do. The scoreboard has a row for each connection: connecting,
// greeting, logging in, envelope, content, waiting, call-out, idle.
//
// # Standards
//
// RFC 5321, RFC 1870 (SIZE), RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3030
// (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 3463 (status codes), RFC
// 4616 (PLAIN), RFC 4954 (AUTH), RFC 5802 and RFC 7677 (SCRAM-SHA-256), RFC 6152
// (8BITMIME), RFC 6531 (SMTPUTF8), RFC 8314 (port 465), RFC 9422 (LIMITS).
//
// A crash leaves nothing here. Jobs under way get no outcome, and dispatch
// tries them again; a message whose acceptance was on its way may then be
// delivered twice.
package smtpclient
