package smtpclient

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"filbert/pkg/smtp"
)

// FuzzChallenges lets a server say what it likes during AUTH: each answer is one
// line of base64, there are few of them, the server is never asked to wait for
// long work, and SCRAM never counts as granted without proof.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{"", "=", "UGFzc3dvcmQ6", "not base64", "e30=\n334 e30="} {
		f.Add(uint8(0), s)
		f.Add(uint8(1), s)
		f.Add(uint8(2), s)
	}
	for _, s := range []string{"r=NONCEx,s=c2FsdA==,i=4096\nv=AAAA", "r=NONCE,s=,i=-1", "r=NONCEx,s=c2FsdA==,i=4096\ne=no", "m=x,r=NONCE,s=c2FsdA==,i=4096", "r=NONCEx,s=c2FsdA==,i=1000000000"} {
		f.Add(uint8(3), s)
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		name := append(mechanisms(), scramSHA256)[which%4]
		x, err := newExchange(name, login{testUser, testPassword})
		if err != nil {
			t.Fatal(err)
		}
		nonce := ""
		if name == scramSHA256 {
			_, nonce, _ = strings.Cut(string(x.first), "r=")
		}
		checkLine(t, x.begin(nil))
		answers := 0
		for challenge := range strings.SplitSeq(text, "\n") {
			if which%4 == 3 {
				// As a server would that holds up its end of it; few iterations only,
				// as a fuzzer has no patience.
				if i := strings.LastIndex(challenge, "i="); i >= 0 && len(challenge)-i > 6 && len(challenge)-i < 11 {
					return
				}
				challenge = base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(challenge, "NONCE", nonce)))
			}
			var p smtp.ReplyParser
			if done, err := p.Feed([]byte("334 " + challenge)); !done || err != nil {
				return
			}
			line, err := x.answer(nil, p.Result())
			if err != nil {
				break
			}
			checkLine(t, line)
			if answers++; answers > maxChallenges {
				t.Fatalf("%d answers", answers)
			}
		}
		if err := x.granted(); name == scramSHA256 && err == nil {
			t.Fatal("nothing was proved")
		}
	})
}

func checkLine(t *testing.T, line []byte) {
	t.Helper()
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.ContainsAny(text, "\r\n\x00") {
		t.Fatalf("%q is no line", line)
	}
}
