package router

import (
	"context"
	"strings"
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// saying is a program that says one thing.
type saying string

func (saying) Forward(context.Context, *proto.ForwardQuery) (*proto.ForwardAnswer, error) {
	return &proto.ForwardAnswer{}, nil
}

func (s saying) Consult(context.Context, *proto.ConsultQuery) (*proto.ConsultAnswer, error) {
	return &proto.ConsultAnswer{Output: untrusted.From(string(s))}, nil
}

func (saying) Callout(context.Context, *proto.CalloutQuery) (*proto.CalloutAnswer, error) {
	return &proto.CalloutAnswer{}, nil
}

func FuzzWhatAProgramSays(f *testing.F) {
	for _, s := range []string{"accept\n", "decline", "fail no\x00", "defer \xff", "redirect a, \"b c\"@d.example,,", "redirect |/x", "\r\n", "FAIL\tx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &rules{settings: settings.Default(), world: World{Agents: saying(text)}}
		q := &query{ctx: t.Context(), rules: r}
		c := &commandDirector{r, &director{set: settings.Director{Name: "ask", Transport: "pipe"}}}
		n := &node{addr: mailaddr.MustParse("a@example.org")}
		s := c.direct(q, n)
		first, _, _ := strings.Cut(text, "\n")
		words := strings.Fields(strings.ToLower(first))
		switch {
		case s.decision == unsure && !s.verdict.Temporary(), s.decision == decided && s.verdict.Class == 0, s.decision == redirected && len(s.children) == 0:
			t.Errorf("%q: %+v", text, s)
		case s.decision == taken && (len(words) != 1 || words[0] != "accept"):
			t.Errorf("%q is taken for accept", text)
		case s.decision == declined && (len(words) != 1 || words[0] != "decline"):
			t.Errorf("%q is taken for decline", text)
		}
		for i := range s.children {
			if r := &s.children[i].rcpt; r.Kind != 0 || r.Address.Domain() == "" {
				t.Errorf("%q: child %+v", text, r)
			}
		}
	})
}
