package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// report holds a message against RFC 3464 and RFC 6522, and prints its fields
// and parts.
func report(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "report FILE")
	m, err := mail.ReadMessage(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	out := ts.Stdout()
	for _, name := range []string{"Return-Path", "From", "To", "Subject", "Auto-Submitted", "In-Reply-To", "Content-Language"} {
		v, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
		ts.Check(err)
		if v != "" {
			fmt.Fprintf(out, "%s: %s\n", name, v)
		}
	}
	if err := checkReport(m, out); err != nil {
		ts.Fatalf("%s is no proper delivery report: %v", args[0], err)
	}
}

func checkReport(m *mail.Message, out io.Writer) error {
	for _, name := range []string{"Date", "Message-ID", "From", "To", "MIME-Version"} {
		if m.Header.Get(name) == "" {
			return fmt.Errorf("it has no %s", name)
		}
	}
	if p := m.Header.Get("Return-Path"); p != "" && p != "<>" {
		return fmt.Errorf("it is from %s, not the null sender (RFC 3464, section 2)", p)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if kind != "multipart/report" || params["report-type"] != "delivery-status" {
		return fmt.Errorf("it is %s, report-type %q", kind, params["report-type"])
	}
	return checkParts(multipart.NewReader(m.Body, params["boundary"]), out)
}

// wantedParts are the kinds that each part may have (RFC 6522, section 3; RFC
// 6533, section 6 for UTF-8).
var wantedParts = []*regexp.Regexp{
	regexp.MustCompile(`^text/plain$`),
	regexp.MustCompile(`^message/(global-)?delivery-status$`),
	regexp.MustCompile(`^(message/rfc822|text/rfc822-headers|message/global(-headers)?)$`),
}

func checkParts(r *multipart.Reader, out io.Writer) error {
	for i, want := range wantedParts {
		p, err := r.NextPart() // decodes quoted-printable
		if err != nil {
			return fmt.Errorf("part %d: %w", i+1, err)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			return fmt.Errorf("part %d: %w", i+1, err)
		}
		if !want.MatchString(kind) {
			return fmt.Errorf("part %d is %s", i+1, kind)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "== %s ==\n%s\n", kind, strings.ReplaceAll(string(body), "\r\n", "\n"))
		if i == 1 {
			if err := checkStatus(string(body)); err != nil {
				return err
			}
		}
	}
	if _, err := r.NextRawPart(); !errors.Is(err, io.EOF) {
		return errors.New("it has more than three parts")
	}
	return nil
}

var (
	statusCode = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}( \(.*\))?$`)
	actionWord = regexp.MustCompile(`^(failed|delayed|delivered|relayed|expanded)$`)
	typed      = regexp.MustCompile(`^[A-Za-z0-9-]+; ?\S`)
)

// checkStatus reads the machine's part: RFC 3464, section 2.1.
func checkStatus(body string) error {
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.TrimRight(body, "\r\n") + "\n\n")))
	group := 0
	for {
		h, err := r.ReadMIMEHeader()
		if errors.Is(err, io.EOF) || len(h) == 0 {
			break
		}
		if err != nil {
			return err
		}
		if group == 0 {
			if !typed.MatchString(h.Get("Reporting-MTA")) {
				return fmt.Errorf("Reporting-MTA is %q", h.Get("Reporting-MTA"))
			}
			group++
			continue
		}
		group++
		class := h.Get("Status")
		switch {
		case !typed.MatchString(h.Get("Final-Recipient")):
			return fmt.Errorf("Final-Recipient is %q", h.Get("Final-Recipient"))
		case !actionWord.MatchString(h.Get("Action")):
			return fmt.Errorf("Action is %q", h.Get("Action"))
		case !statusCode.MatchString(class):
			return fmt.Errorf("Status is %q", class)
		case h.Get("Action") == "failed" && class[0] == '2', h.Get("Action") == "delayed" && class[0] != '4',
			h.Get("Action") == "delivered" && class[0] != '2':
			return fmt.Errorf("Action %s and Status %s do not go together", h.Get("Action"), class)
		}
	}
	if group < 2 {
		return errors.New("it is about no recipient")
	}
	return nil
}
