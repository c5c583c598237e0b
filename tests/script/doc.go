// Package script drives a real instance of the suite, with real processes,
// from text: one file per case holds the configuration, the dialogues, the
// messages and what is expected. tests/e2e has the files.
//
// A file is a txtar archive for testscript: commands first, then the files of
// the case. Beside testscript's own commands (exec, grep, cmp, stdout ...) there
// are those below. Those marked [!] may be negated with "! ".
//
// Nothing here sleeps: what takes time is asked for again and again until it is
// there or patience has ended, and then the script fails with the log's tail.
//
// # The instance
//
//	filbert init [FLAGS]        mtactl init under $WORK/i; then the files of the
//	                            case under etc/ are put over those it wrote
//	filbert etc                 put the files under etc/ there again (after an edit)
//	[!] filbert start           mtactl start; afterwards $MX (the address of the
//	                            first listener) and $MX_NAME of each are known
//	filbert stop                mtactl stop
//	[!] filbert reload          mtactl reload
//	filbert kill NAME [SIGNAL]  send a signal (KILL) to a service's processes, or
//	                            to master, and wait until they are gone
//	filbert pause NAME          stop a service's processes, and wait until they stand
//	filbert continue NAME       let them go on
//	filbert back                wait until every service runs
//	filbert gone                wait until no process of the instance is left
//	[!] mtactl ARGS             mtactl -C $WORK/i ARGS
//	[!] sendmail ARGS           bin/sendmail on the instance; also mailq
//	status N                    the last of these ended with exit status N
//
// # Mail in
//
//	smtp [-to LISTENER] [-from IP] [-keep] FILE
//	                            play a dialogue (see dialogue.go)
//	[!] send [-f FROM] [-to LISTENER] [-n N] [-bdat OCTETS] [-again] FILE RCPT...
//	                            send a file as a polite client does, with -again
//	                            until it is taken; the ids are $ID, $ID1, $ID2 ...
//	load start NAME [-to LISTENER] [-clients N] [-tolerant] RCPT
//	load reach NAME N           wait until N messages were acknowledged
//	load stop NAME              stop; without -tolerant any refusal, broken or
//	                            refused connection is a failure
//	load check NAME DIR [-once] every acknowledged message is in the Maildir DIR, or
//	                            for sink:NAME with that sink
//
// # The world
//
//	dns FILE                    give the name server, at $DNS, a zone (see pkg/resolve/
//	                            resolvetest); before that no name exists
//	sink NAME [-lmtp] [-tls] [-cert HOST] [-auth USER:PASSWORD,...] [-at IP | -unix PATH] [FILE]
//	                            start a server at IP:$PORT that takes mail as the
//	                            rules in FILE say (see sink.go) and keeps it in
//	                            NAME/1.eml, NAME/1.env, ..., NAME/transcript; -cert is
//	                            -tls with a certificate that the suite trusts, for HOST
//	sink-stop NAME              close it, with its connections
//	map NAME [-at IP | -unix PATH] FILE
//	                            start a server of socketmap that answers as FILE says
//	                            (see mapserver.go); NAME/asked has the questions. Again:
//	                            it answers otherwise
//	map-stop NAME               close it, with its connections
//	make-cdb LINES FILE         make a constant database of "key value" lines
//	make-sqlite STATEMENTS FILE make or change a database of SQLite
//
// # What came of it
//
//	wait-mail DIR N             N messages are in the Maildir $WORK/i/mail/DIR
//	no-mail DIR                 there is none
//	get-mail DIR N FILE         copy its N-th message to FILE
//	wait-sink NAME N            the sink has taken N messages
//	wait-log [-n N] [-id VAR] REGEXP
//	                            a line (N lines) of the log; VAR becomes its id
//	[!] log [-count N] REGEXP   the log has it (exactly N times) or does not
//	wait-settled                all mail received is delivered, filed or reported
//	wait-queue N [FILTER]       mtactl queue list has N messages
//	until REGEXP mtactl ARGS [-- ARGS]
//	                            repeat these until their output matches
//	wait-file PATH              there is such a file
//	same-message WANT GOT       GOT is WANT, byte for byte, behind Return-Path,
//	                            Delivered-To and Received fields
//	match PATTERNS FILE         each line of PATTERNS occurs, in this order; "*"
//	                            is any text, a line "..." any lines
//	report FILE                 FILE is a whole delivery report (RFC 3464); its
//	                            parts are printed for stdout
//	make-message OCTETS FILE    a message of that size, with lines of all lengths
//	control [-socket NAME] METHOD PATH [BODYFILE]
//	                            HTTP over a control socket, the answer on stdout
//	tick [N | all]              move the clock (testing.move_clock) to where the next message
//	                            of the queue is due, and wait until it was tried; N times,
//	                            or until nothing is due any more
//	times REGEXP AFTER...       the lines of the log that match, and no others, came so long
//	                            after the first of them (2h30m), by their own times
//	octets SOCKET FILE          send octets (Go escapes) to a Unix socket and wait
//	                            until it is closed
//
// In the files of a case that the commands read, ${NAME} stands for a variable
// of the script's environment: $PORT is a free port for sinks, $DNS the name
// server, $MX the listener, $MAIL the mailboxes, $USER who runs this. $ELSEWHERE is
// an address of this machine that is not of loopback: the condition [elsewhere]
// says whether it has one.
package script
