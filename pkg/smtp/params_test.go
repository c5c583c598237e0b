package smtp

import (
	"math"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"

	"pgregory.net/rapid"
)

const allExtensions = ExtSize | Ext8BitMIME | ExtBinaryMIME | ExtSMTPUTF8 | ExtDSN | ExtAuth

func TestParseMailAccepts(t *testing.T) {
	a := mailaddr.MustParse("a@b")
	for in, want := range map[string]MailParams{
		"FROM:<>":                   {},
		"from:<a@b>":                {From: a},
		"FROM: <a@b>":               {From: a},
		"FROM:<a@b>  SIZE=10":       {From: a, Size: 10},
		"FROM:<@x,@y.z:a@b>":        {From: a},
		`FROM:<"a>b"@b>`:            {From: mailaddr.MustParse(`"a>b"@b`)},
		`FROM:<"a\">b"@b> SIZE=1`:   {From: mailaddr.MustParse(`"a\">b"@b`), Size: 1},
		"FROM:<a@[IPv6:::1]>":       {From: mailaddr.MustParse("a@[IPv6:::1]")},
		"FROM:<a@b> BODY=7bit":      {From: a, Body: Body7Bit},
		"FROM:<a@b> body=8BITMIME":  {From: a, Body: Body8BitMIME},
		"FROM:<a@b> SMTPUTF8":       {From: a, SMTPUTF8: true},
		"FROM:<grün@b> SMTPUTF8":    {From: mailaddr.MustParse("grün@b"), SMTPUTF8: true},
		"FROM:<a@b> RET=hdrs":       {From: a, Ret: RetHeaders},
		"FROM:<a@b> RET=FULL":       {From: a, Ret: RetFull},
		"FROM:<a@b> ENVID=x+20y+2B": {From: a, EnvID: untrusted.From("x y+")},
		"FROM:<a@b> AUTH=<>":        {From: a},
		"FROM:<a@b> AUTH=c+40d":     {From: a, Auth: mailaddr.MustParse("c@d")},
		"FROM:<a@b> SIZE=9223372036854775807 BODY=8BITMIME RET=FULL": {From: a, Size: math.MaxInt64, Body: Body8BitMIME, Ret: RetFull},
		"FROM:<a@b> SIZE=00000000000000000001":                       {From: a, Size: 1},
		"FROM:<a@b> BODY=BINARYMIME":                                 {From: a, Body: BodyBinaryMIME},
	} {
		if got, r := ParseMail(untrusted.From(in), allExtensions); r != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, r)
		}
	}
}

func TestParseMailRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "501 5.1.7",
		"FROM":                                  "501 5.1.7",
		"FROM <a@b>":                            "501 5.1.7",
		"FROM:":                                 "501 5.1.7",
		"FROM:a@b":                              "501 5.1.7",
		"FROM :<a@b>":                           "501 5.1.7",
		"FROM:<a@b":                             "501 5.1.7",
		"FROM:<a@b>>":                           "501 5.1.7",
		"FROM:<a@b>SIZE=1":                      "501 5.1.7",
		"FROM:<a>":                              "501 5.1.7",
		"FROM:<postmaster>":                     "501 5.1.7",
		"FROM:< a@b>":                           "501 5.1.7",
		"FROM:<a@b >":                           "501 5.1.7",
		"FROM:<<a@b>>":                          "501 5.1.7",
		"FROM:<a b@c>":                          "501 5.1.7",
		"FROM:<;id@>":                           "501 5.1.7",
		`FROM:<"a@b>`:                           "501 5.1.7",
		"FROM:<@x:>":                            "501 5.1.7",
		"FROM:<@:a@b>":                          "501 5.1.7",
		"FROM:<@x,y:a@b>":                       "501 5.1.7",
		"FROM:<@x@y:a@b>":                       "501 5.1.7",
		"FROM:<@x..y:a@b>":                      "501 5.1.7",
		"FROM:<@[1.2.3.4]:a@b>":                 "501 5.1.7",
		"FROM:<@x>":                             "501 5.1.7",
		"TO:<a@b>":                              "501 5.1.7",
		"FROM:<a@1.2.3.4>":                      "501 5.1.7",
		"FROM:<grün@b>":                         "553 5.6.7",
		"FROM:<a@b> FOO":                        "555 5.5.4",
		"FROM:<a@b> FOO=bar":                    "555 5.5.4",
		"FROM:<a@b> NOTIFY=NEVER":               "555 5.5.4",
		"FROM:<a@b> =":                          "501 5.5.4",
		"FROM:<a@b> -X=1":                       "501 5.5.4",
		"FROM:<a@b> SIZE=":                      "501 5.5.4",
		"FROM:<a@b> SIZE":                       "501 5.5.4",
		"FROM:<a@b> SIZE=-1":                    "501 5.5.4",
		"FROM:<a@b> SIZE=+1":                    "501 5.5.4",
		"FROM:<a@b> SIZE=1k":                    "501 5.5.4",
		"FROM:<a@b> SIZE=0x1":                   "501 5.5.4",
		"FROM:<a@b> SIZE=1_0":                   "501 5.5.4",
		"FROM:<a@b> SIZE=1 SIZE=1":              "501 5.5.4",
		"FROM:<a@b> SIZE=1 size=2":              "501 5.5.4",
		"FROM:<a@b> SIZE=1=2":                   "501 5.5.4",
		"FROM:<a@b> BODY=9BIT":                  "501 5.5.4",
		"FROM:<a@b> BODY":                       "501 5.5.4",
		"FROM:<a@b> SMTPUTF8=yes":               "501 5.5.4",
		"FROM:<a@b> RET=ALL":                    "501 5.5.4",
		"FROM:<a@b> ENVID=":                     "501 5.5.4",
		"FROM:<a@b> ENVID=a+00b":                "501 5.5.4",
		"FROM:<a@b> ENVID=a+0Ab":                "501 5.5.4",
		"FROM:<a@b> ENVID=a+0ab":                "501 5.5.4",
		"FROM:<a@b> ENVID=a+0":                  "501 5.5.4",
		"FROM:<a@b> ENVID=a+":                   "501 5.5.4",
		"FROM:<a@b> ENVID=a+7Fb":                "501 5.5.4",
		"FROM:<a@b> ENVID=a+FFb":                "501 5.5.4",
		"FROM:<a@b> ENVID=ü":                    "501 5.5.4",
		"FROM:<a@b> ENVID=a=b":                  "501 5.5.4",
		"FROM:<a@b> AUTH=a+0Ab":                 "501 5.5.4",
		"FROM:<a@b> AUTH=a@b@c":                 "501 5.5.4",
		"FROM:<a@b> AUTH=":                      "501 5.5.4",
		"FROM:<a@b> BODY=7BIT\tSIZE=1":          "501 5.5.4",
		"FROM:<a@b> BODY=7BIT BODY=7BIT":        "501 5.5.4",
		"FROM:<a@b> SIZE=9223372036854775808":   "552 5.3.4",
		"FROM:<a@b> SIZE=99999999999999999999":  "552 5.3.4",
		"FROM:<a@b> SIZE=100000000000000000000": "501 5.5.4",
		"FROM:<a@b> ENVID=" + strings.Repeat("x", 101): "501 5.5.4",
		"FROM:<a@b> " + strings.Repeat("X", 33) + "=1": "501 5.5.4",
		"FROM:<" + strings.Repeat("a", 65) + "@b>":     "501 5.1.7",
	} {
		_, r := ParseMail(untrusted.From(in), allExtensions)
		checkRefusal(t, in, r, want)
	}
}

func checkRefusal(t *testing.T, in string, r *Reply, want string) {
	t.Helper()
	if r == nil {
		t.Errorf("%s accepted", in)
		return
	}
	checkReply(t, *r)
	if !strings.HasPrefix(string(r.Bytes()), want+" ") {
		t.Errorf("%s: got %q, want %s", in, r.Bytes(), want)
	}
}

func TestParametersOfExtensionsNotOfferedAre555(t *testing.T) {
	for _, in := range []string{"SIZE=1", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "ENVID=x", "AUTH=<>"} {
		_, r := ParseMail(untrusted.From("FROM:<a@b> "+in), 0)
		checkRefusal(t, in, r, "555 5.5.4")
	}
	for _, in := range []string{"NOTIFY=NEVER", "ORCPT=rfc822;a"} {
		_, r := ParseRcpt(untrusted.From("TO:<a@b> "+in), 0)
		checkRefusal(t, in, r, "555 5.5.4")
	}
	_, r := ParseMail(untrusted.From("FROM:<a@b> BODY=BINARYMIME"), Ext8BitMIME)
	checkRefusal(t, "BINARYMIME", r, "555 5.5.4")
}

func TestParseRcptAccepts(t *testing.T) {
	a := mailaddr.MustParse("a@b")
	for in, want := range map[string]RcptParams{
		"TO:<a@b>":                               {To: a},
		"to: <a@b>":                              {To: a},
		"TO:<postmaster>":                        {To: mailaddr.MustParse("postmaster")},
		"TO:<PostMaster>":                        {To: mailaddr.MustParse("PostMaster")},
		"TO:<@hosta.int,@jkl.org:a@b>":           {To: a},
		"TO:<grün@b>":                            {To: mailaddr.MustParse("grün@b")},
		"TO:<a@b> NOTIFY=never":                  {To: a, Notify: NotifyNever},
		"TO:<a@b> NOTIFY=SUCCESS,failure,DELAY":  {To: a, Notify: NotifySuccess | NotifyFailure | NotifyDelay},
		"TO:<a@b> ORCPT=rfc822;c+40d":            {To: a, ORcpt: OriginalRecipient{"rfc822", untrusted.From("c@d")}},
		"TO:<a@b> ORCPT=rfc822;gr+C3+BCn@d":      {To: a, ORcpt: OriginalRecipient{"utf-8", untrusted.From("grün@d")}}, // Postfix
		"TO:<a@b> ORCPT=X400;/c=x/+2B":           {To: a, ORcpt: OriginalRecipient{}},
		`TO:<a@b> ORCPT=utf-8;gr\x{FC}n@d`:       {To: a, ORcpt: OriginalRecipient{"utf-8", untrusted.From("grün@d")}},
		"TO:<a@b> ORCPT=UTF-8;grün@d":            {To: a, ORcpt: OriginalRecipient{"utf-8", untrusted.From("grün@d")}},
		`TO:<a@b> ORCPT=utf-8;\x{2B}\x{1F4E7}@d`: {To: a, ORcpt: OriginalRecipient{"utf-8", untrusted.From("+\U0001f4e7@d")}},
	} {
		got, r := ParseRcpt(untrusted.From(in), allExtensions)
		if strings.Contains(in, "X400") {
			checkRefusal(t, in, r, "501 5.5.4") // xtext has no `=`
			continue
		}
		if r != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, r)
		}
	}
}

func TestParseRcptRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                                  "501 5.1.3",
		"TO:<>":                                             "501 5.1.3",
		"TO:<root>":                                         "501 5.1.3",
		`TO:<"post master">`:                                "501 5.1.3",
		"TO:a@b":                                            "501 5.1.3",
		"TO:<a@b> <c@d>":                                    "501 5.5.4",
		"TO:<a@b>,<c@d>":                                    "501 5.1.3",
		"TO:<@x:postmaster":                                 "501 5.1.3",
		"FROM:<a@b>":                                        "501 5.1.3",
		"TO:<a@b> SIZE=1":                                   "555 5.5.4",
		"TO:<a@b> NOTIFY":                                   "501 5.5.4",
		"TO:<a@b> NOTIFY=":                                  "501 5.5.4",
		"TO:<a@b> NOTIFY=ALWAYS":                            "501 5.5.4",
		"TO:<a@b> NOTIFY=NEVER,SUCCESS":                     "501 5.5.4",
		"TO:<a@b> NOTIFY=SUCCESS,NEVER":                     "501 5.5.4",
		"TO:<a@b> NOTIFY=SUCCESS,SUCCESS":                   "501 5.5.4",
		"TO:<a@b> NOTIFY=SUCCESS,":                          "501 5.5.4",
		"TO:<a@b> NOTIFY=,SUCCESS":                          "501 5.5.4",
		"TO:<a@b> NOTIFY=DELAY NOTIFY=NEVER":                "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822":                             "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;":                            "501 5.5.4",
		"TO:<a@b> ORCPT=;a":                                 "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;a+0Ab":                       "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;a+0D+0ARCPT":                 "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;a+00":                        "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;ü":                           "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;a+C3":                        "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;a+C2+85":                     "501 5.5.4",
		"TO:<a@b> ORCPT=x-y;a+C3+BC":                        "501 5.5.4",
		"TO:<a@b> ORCPT=rf c;a":                             "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{0A}`:                       "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{00}`:                       "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{202E}`:                     "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{D800}`:                     "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{110000}`:                   "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{fc}`:                       "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\x{FC`:                        "501 5.5.4",
		`TO:<a@b> ORCPT=utf-8;\y`:                           "501 5.5.4",
		"TO:<a@b> ORCPT=utf-8;a+40b":                        "501 5.5.4",
		"TO:<a@b> ORCPT=utf-8;\u202e":                       "501 5.5.4",
		"TO:<a@b> ORCPT=rfc822;" + strings.Repeat("x", 500): "501 5.5.4",
	} {
		_, r := ParseRcpt(untrusted.From(in), allExtensions)
		checkRefusal(t, in, r, want)
	}
}

func TestAnAddressPastASCIINeedsSMTPUTF8(t *testing.T) {
	_, r := ParseRcpt(untrusted.From("TO:<a@bücher.example>"), allExtensions&^ExtSMTPUTF8)
	checkRefusal(t, "RCPT", r, "553 5.6.7")
}

func TestXTextReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[ -~]*`).Draw(t, "in")
		enc := EncodeXText(in)
		if out, err := DecodeXText(enc); err != nil || !out.Equal(in) || strings.ContainsAny(enc, " =") {
			t.Fatalf("%q is %q, %v", in, enc, err)
		}
	})
}

func TestUnitextReadsBack(t *testing.T) {
	for _, in := range []string{"a@b", "grün@bücher.example", `a\+=b c`, "\U0001f4e7"} {
		enc := EncodeUnitext(in)
		if out, err := decodeUnitext(enc); err != nil || !out.Equal(in) || strings.ContainsFunc(enc, func(r rune) bool { return r > '~' }) {
			t.Errorf("%q is %q, %v", in, enc, err)
		}
	}
}

func TestEncodedXTextHasNoLineEnds(t *testing.T) {
	if got := EncodeXText("a\r\nb\x00ü"); got != "a+0D+0Ab+00+C3+BC" {
		t.Errorf("%q", got)
	}
}

// The numbers are those of pkg/envelope, so that a conversion is enough.
func TestValuesAreThoseOfTheEnvelope(t *testing.T) {
	if envelope.Body(Body7Bit) != envelope.Body7Bit || envelope.Body(Body8BitMIME) != envelope.Body8BitMIME ||
		envelope.Body(BodyBinaryMIME) != envelope.BodyBinary || envelope.Body(BodyUnset) != envelope.BodyUnstated {
		t.Error("Body")
	}
	if envelope.Return(RetFull) != envelope.ReturnFull || envelope.Return(RetHeaders) != envelope.ReturnHeaders {
		t.Error("Ret")
	}
	if envelope.Notify(NotifyNever) != envelope.NotifyNever || envelope.Notify(NotifySuccess) != envelope.NotifySuccess ||
		envelope.Notify(NotifyFailure) != envelope.NotifyFailure || envelope.Notify(NotifyDelay) != envelope.NotifyDelay {
		t.Error("Notify")
	}
}
