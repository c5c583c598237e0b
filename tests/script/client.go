package script

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// client is a polite SMTP client.
type client struct {
	c net.Conn
	r *bufio.Reader
}

func dial(address string) (*client, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	k := &client{c, bufio.NewReader(c)}
	if err := k.expect("220"); err != nil {
		c.Close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if err := k.ask("EHLO client.test", "250"); err != nil {
		c.Close()
		return nil, err
	}
	return k, nil
}

// refusal is a reply that was not the one wanted.
type refusal struct{ after, reply string }

func (r *refusal) Error() string { return r.after + ": " + r.reply }

func (k *client) expect(code string) error {
	_, err := k.reply(code)
	return err
}

func (k *client) reply(code string) (string, error) {
	if err := k.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	lines, err := readReply(k.r)
	if err != nil {
		return "", err
	}
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, code) {
		return last, &refusal{"reply", last}
	}
	return last, nil
}

func (k *client) ask(line, code string) error {
	if _, err := k.c.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	if err := k.expect(code); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// send gives one message (CRLF text) and returns its queue id.
func (k *client) send(from string, to []string, text []byte, chunk int) (string, error) {
	if err := k.ask(fmt.Sprintf("MAIL FROM:<%s>", from), "250"); err != nil {
		return "", err
	}
	for _, r := range to {
		if err := k.ask(fmt.Sprintf("RCPT TO:<%s>", r), "250"); err != nil {
			return "", err
		}
	}
	if chunk > 0 {
		return k.chunks(text, chunk)
	}
	if err := k.ask("DATA", "354"); err != nil {
		return "", err
	}
	if _, err := k.c.Write([]byte(stuff(string(text)))); err != nil {
		return "", err
	}
	return k.queued()
}

func (k *client) chunks(text []byte, size int) (string, error) {
	for len(text) > size {
		if _, err := fmt.Fprintf(k.c, "BDAT %d\r\n%s", size, text[:size]); err != nil {
			return "", err
		}
		if err := k.expect("250"); err != nil {
			return "", err
		}
		text = text[size:]
	}
	if _, err := fmt.Fprintf(k.c, "BDAT %d LAST\r\n%s", len(text), text); err != nil {
		return "", err
	}
	return k.queued()
}

// queued is the answer to the end of a message.
func (k *client) queued() (string, error) {
	last, err := k.reply("250")
	if err != nil {
		return "", err
	}
	_, id, _ := strings.Cut(last, "queued as ")
	return id, nil
}

func (k *client) quit() error {
	defer k.c.Close()
	return k.ask("QUIT", "221")
}

func send(ts *testscript.TestScript, neg bool, args []string) {
	o, args := options(ts, args, "again")
	usage(ts, len(args) > 1, "[!] send [-again] [-f FROM] [-to LISTENER] [-n N] [-bdat OCTETS] FILE RCPT...")
	from, n, chunk := "sender@elsewhere.test", 1, 0
	if f, ok := o["f"]; ok {
		from = strings.Trim(f, "<>")
	}
	if o["n"] != "" {
		n = number(ts, o["n"])
	}
	if o["bdat"] != "" {
		chunk = number(ts, o["bdat"])
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	text = []byte(crlf(string(text)))
	try := func() error { return sendAll(ts, worldOf(ts).address(ts, o["to"]), from, args[1:], text, chunk, n) }
	if o["again"] != "" {
		until(ts, func() (bool, string) { err = try(); return err == nil, fmt.Sprint(err) })
	} else {
		err = try()
	}
	switch {
	case neg && err == nil:
		ts.Fatalf("the message should have been refused")
	case neg:
		fmt.Fprintln(ts.Stdout(), err)
	case err != nil:
		ts.Fatalf("send %s: %v", args[0], err)
	}
}

func sendAll(ts *testscript.TestScript, address, from string, to []string, text []byte, chunk, n int) error {
	k, err := dial(address)
	if err != nil {
		return err
	}
	defer k.c.Close()
	for i := range n {
		id, err := k.send(from, to, text, chunk)
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
		worldOf(ts).queued = append(worldOf(ts).queued, id)
		fmt.Fprintln(ts.Stdout(), id)
		ts.Setenv("ID", id)
		ts.Setenv("ID"+strconv.Itoa(i+1), id)
	}
	return k.quit()
}
