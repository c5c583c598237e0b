package mtactl

import (
	"strings"
	"testing"
)

func TestMistypedWordsAreAnsweredWithTheOneThatWasMeant(t *testing.T) {
	for line, want := range map[string]string{
		"sttus":                "did you mean mtactl status?",
		"queue lst":            "did you mean mtactl queue list?",
		"reports preveiw":      "did you mean mtactl reports preview?",
		"queue xyzzyq":         "mtactl queue --help lists",
		"queue list --sendr x": "did you mean --sender?",
		"--directry x":         "did you mean --directory?",
		"queue list --xyzzyq":  "mtactl queue list --help lists its options",
	} {
		code, out, errs := run(t, "", strings.Fields(line)...)
		if code != exUsage || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: %d, %s%s", line, code, out, errs)
		}
	}
}
