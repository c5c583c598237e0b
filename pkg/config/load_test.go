package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/settings"
)

// inst is a private instance in which conf holds the named files of etc.
func inst(t *testing.T, conf map[string]string) settings.Instance {
	t.Helper()
	dir := t.TempDir()
	i := settings.Private(dir)
	for name, text := range conf {
		path := filepath.Join(i.Etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func mustLoad(t *testing.T, conf map[string]string) *Loaded {
	t.Helper()
	i := inst(t, conf)
	l, err := LoadAll(i.ConfigFile(), i)
	if err != nil {
		t.Fatalf("%v\n%s", err, render(l.Problems, i.Etc))
	}
	return l
}

func render(problems []Problem, dir string) string {
	var b strings.Builder
	for _, p := range problems {
		if p.Key == "hostname" && p.Pos.Line == 0 {
			continue // the name of the machine that runs the test
		}
		b.WriteString(strings.ReplaceAll(p.String(), dir+"/", "") + "\n")
	}
	return b.String()
}

// TestProblems loads testdata/CASE/in.toml (and conf.d) and compares what is
// said about it with want.txt.
func TestProblems(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.toml")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, in := range cases {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			i := settings.Private("/nowhere")
			_, problems, err := Load(in, i)
			got := render(problems, dir)
			if (err != nil) != (Mistakes(problems) > 0) || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v with %d mistakes", err, Mistakes(problems))
			}
			want := filepath.Join(dir, "want.txt")
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			b, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(b), got); d != "" {
				t.Errorf("problems differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestEmptyFileIsAWholeConfiguration(t *testing.T) {
	l := mustLoad(t, map[string]string{"filbert.toml": ""})
	s := l.Settings
	if s.Hostname == "" || len(s.Directors) == 0 || len(s.Routers) == 0 || len(s.Transports) == 0 {
		t.Errorf("something is missing: %+v", s)
	}
	if len(s.Listen) != 0 {
		t.Errorf("a private instance listens on %v without being told to", s.Listen)
	}
}

func TestInstalledInstanceListensOnLoopbackOnly(t *testing.T) {
	i := inst(t, map[string]string{"filbert.toml": ""})
	i.Private = false
	s, _, err := Load(i.ConfigFile(), i)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Listen) != 1 || s.Listen[0].Address != "127.0.0.1:25" {
		t.Errorf("listens on %+v", s.Listen)
	}
}

func TestSampleMeansTheSameAsAnEmptyFile(t *testing.T) {
	empty := mustLoad(t, map[string]string{"filbert.toml": ""}).Settings
	sample := mustLoad(t, map[string]string{"filbert.toml": Sample()}).Settings
	empty.Instance, sample.Instance = settings.Instance{}, settings.Instance{}
	for i := range empty.Directors {
		empty.Directors[i].File, sample.Directors[i].File = "", ""
	}
	if d := cmp.Diff(empty, sample); d != "" {
		t.Error(d)
	}
}

// uncomment takes the # away from the settings of the sample's tables that
// have no drivers.
func uncomment(sample string) string {
	var b strings.Builder
	for _, line := range strings.Split(sample, "\n") {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			line = line[1:]
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func TestEveryLineOfTheSampleCanBeUsed(t *testing.T) {
	i := inst(t, map[string]string{"filbert.toml": uncomment(Sample()), "reports/en": "# nothing yet\n"})
	_, problems, _ := Load(i.ConfigFile(), i)
	for _, p := range problems {
		// Of the tables with drivers the sample shows the options of all, and the
		// lookups that it asks have names that it does not define.
		if strings.Contains(p.What, "has no effect with") || strings.Contains(p.What, "there is no lookup") || strings.Contains(p.What, "there is no entry") ||
			strings.HasPrefix(p.Key, "transport.NAME") || strings.HasPrefix(p.Key, "lookup.NAME") {
			continue
		}
		if p.Severity == Mistake {
			t.Error(p)
		}
	}
}

func TestConfDContinuesTheMainFile(t *testing.T) {
	l := mustLoad(t, map[string]string{
		"filbert.toml":     "hostname = \"mail.example\"\n[[listen]]\nname = \"a\"\naddress = \"127.0.0.1:2525\"\n",
		"conf.d/10-b.toml": "[[listen]]\nname = \"b\"\naddress = \"127.0.0.1:2526\"\n[transport.x]\ndriver = \"smtp\"\n",
		"conf.d/20-c.toml": "[limits]\nhops = 30\n[transport.y]\ndriver = \"smtp\"\n",
		"conf.d/.#x.toml":  "nonsense",
		"conf.d/x.toml~":   "nonsense",
	})
	s := l.Settings
	if len(s.Listen) != 2 || s.Listen[1].Name != "b" || s.Limits.Hops != 30 || s.Transports["y"].Driver != "smtp" {
		t.Errorf("got %+v", s)
	}
	if got := l.Sources["limits.hops"]; filepath.Base(got.File) != "20-c.toml" || got.Line != 2 {
		t.Errorf("limits.hops is said to come from %v", got)
	}
}

func TestOneValueInTwoFilesIsAMistake(t *testing.T) {
	i := inst(t, map[string]string{
		"filbert.toml":  "hostname = \"a.example\"\n",
		"conf.d/b.toml": "hostname = \"b.example\"\n",
	})
	_, problems, err := Load(i.ConfigFile(), i)
	if err == nil || !strings.Contains(render(problems, i.Etc), "conf.d/b.toml:1:1") && !strings.Contains(render(problems, i.Etc), "second time") {
		t.Errorf("%v: %v", err, problems)
	}
}

func TestMissingFileIsNoInstance(t *testing.T) {
	i := settings.Private(t.TempDir())
	s, _, err := Load(i.ConfigFile(), i)
	if !errors.Is(err, ErrNoInstance) || s != nil {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestHugeFileIsNotRead(t *testing.T) {
	i := inst(t, map[string]string{"filbert.toml": strings.Repeat("#", maxFileSize+1)})
	if _, _, err := Load(i.ConfigFile(), i); err == nil {
		t.Error("read")
	}
}

func TestShownConfigurationMeansTheSame(t *testing.T) {
	in := `hostname = "mail.example"
[domains]
local = ['/^a"b\\.example$/', "mail.example"]
[[listen]]
name = "mx"
address = "127.0.0.1:2525"
min_rate = "1 KB"
[[director]]
name = "v"
driver = "user"
users = "table"
file = "users"
[[router]]
driver = "table"
map = { "x.example" = "a.example b.example:26" }
[transport.maildir]
path = "{mail}/{user}/"
[transport."odd:name"]
driver = "pipe"
command = ["/bin/true", "{sender}"]
[[retry]]
mx = false
phases = [{ every = "90s", until = "1h" }, { from = "2m", until = "2 days" }]
[[rewrite]]
sources = ["from", "x-owner"]
match = '/^"(.*)"@a\.example$/'
to = "{1}@*"
`
	l := mustLoad(t, map[string]string{"filbert.toml": in})
	var b strings.Builder
	if err := l.Show(&b); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, map[string]string{"filbert.toml": b.String()})
	l.Settings.Instance, again.Settings.Instance = settings.Instance{}, settings.Instance{}
	if d := cmp.Diff(l.Settings, again.Settings, cmp.Comparer(func(a, b []string) bool {
		return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
	})); d != "" {
		t.Errorf("%s\n%s", d, b.String())
	}
	if !strings.Contains(b.String(), "# filbert.toml:22") || !strings.Contains(b.String(), "# default") {
		t.Errorf("no sources in:\n%s", b.String())
	}
}

func TestMachineNameIsQualifiedFromHosts(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n192.0.2.1 box.example.org box # me\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for kernel, want := range map[string]string{
		"box": "box.example.org", "Full.Example.": "full.example", "other": "other", "": "localhost", "bad name": "localhost",
	} {
		if got := machineName(func() (string, error) { return kernel, nil }, hosts); got != want {
			t.Errorf("%q becomes %q, want %q", kernel, got, want)
		}
	}
}

func TestHelpFindsKeys(t *testing.T) {
	for key, want := range map[string]string{
		"listen.address":        "listen.address",
		"listen[3].address":     "listen.address",
		"[[listen]]":            "listen",
		"transport.smtp.tls":    "transport.NAME.tls",
		"transport.smtp":        "transport.NAME",
		"transport":             "transport.NAME",
		"afterwards":            "retry.afterwards",
		"retry":                 "retry",
		"hostname":              "hostname",
		"director[0].separator": "director.separator",
	} {
		docs := Help(key)
		if len(docs) == 0 || docs[0].Key != want {
			t.Errorf("Help(%q) = %v, want %s first", key, docs, want)
		}
	}
	if len(Help("nonsense")) != 0 || NearestKey("max_conections") != "max_connections" && NearestKey("max_conections") != "listen.max_connections" {
		t.Errorf("nearest of max_conections: %q", NearestKey("max_conections"))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(uncomment(Sample())))
	f.Add([]byte("listen = 1\n[[retry]]\nphases = [{every = 3}]\n[[director]]\n"))
	f.Add([]byte("a.b.c = {d = [{}]}\n[transport]\nx = 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, problem := parseTree("in.toml", data)
		if problem != nil {
			return
		}
		l := &Loaded{Sources: Sources{}}
		rep := &report{}
		s := settings.Default()
		s.Instance = settings.Private("/nowhere")
		d := &decoder{report: rep, sources: l.Sources}
		d.table(root, reflect.ValueOf(s).Elem(), "")
		c := &checker{report: rep, s: s, sources: l.Sources, main: "in.toml"}
		c.complete()
		c.check()
		c.takeOwnMail()
		for _, p := range rep.sorted(nil) {
			if p.What == "" || p.Pos.File == "" {
				t.Errorf("a problem without words or place: %+v", p)
			}
		}
	})
}

func TestHostnameIsLocalUnlessItIsExcepted(t *testing.T) {
	for list, want := range map[string]string{
		`["a.example"]`:                       "mail.example a.example",
		`["*"]`:                               "*",
		`["mail.example"]`:                    "mail.example",
		`["*.example"]`:                       "*.example",
		`["!*.example", "*"]`:                 "mail.example !*.example *",
		`["!mail.example", "a.example"]`:      "!mail.example a.example",
		`[]`:                                  "mail.example",
		`["/^mail/"]`:                         "/^mail/",
		`["lookup:ours"]`:                     "mail.example lookup:ours",
		`["!lookup:not", "mail.example"]`:     "!lookup:not mail.example",
		`["!lists.a.example", "*.a.example"]`: "mail.example !lists.a.example *.a.example",
	} {
		l := mustLoad(t, map[string]string{"filbert.toml": "hostname = \"mail.example\"\n[domains]\nlocal = " + list + "\n[lookup.ours]\ntype = \"inline\"\n[lookup.not]\ntype = \"inline\"\n"})
		if got := strings.Join(l.Settings.Domains.Local, " "); got != want {
			t.Errorf("%s becomes %q, want %q", list, got, want)
		}
	}
}
