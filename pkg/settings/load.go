package settings

// Load has limits follow the load of the machine: with much of it fewer deliveries and
// local processes begin at once, and with very much fewer connections of strangers are
// taken. Who may relay, listeners with submission = true and the sendmail command are
// never turned away by it. The limits of [limits] and `mtactl limit` are what is taken a
// part of. `mtactl status` shows it while it has an effect.
type Load struct {
	// Begin is the load from which the limits become less, and Full that at which they
	// are a tenth; 0 = the limits are fixed. A machine of one's own may begin at 2
	// and be full at 6, or with "pressure" at 40 and 80.
	Begin float64 `toml:"begin" json:"begin,omitempty"`
	// Full: see Begin.
	Full float64 `toml:"full" json:"full,omitempty"`
	// Measure is what is compared: "load", the load average of one minute for each
	// processor, or "pressure", for how many percent of the last ten seconds work had to
	// wait for the processors, the memory or the disks (the worst of them; Linux with PSI).
	Measure string `toml:"measure" json:"measure"`
	// Every is how often one looks. The limits become less at once, and more by a tenth
	// each time.
	Every Duration `toml:"every" json:"every"`
	// Proc is where the kernel tells of it; another place is for containers that see the
	// load of their host elsewhere.
	Proc string `toml:"proc" json:"proc"`
}
