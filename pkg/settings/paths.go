package settings

import "path/filepath"

// Where an installed instance lies. `make install` sets other values with the
// linker's -X (a package manager's choice of prefix); nothing else writes them.
var (
	etcDir     = "/etc/filbert"
	spoolDir   = "/var/spool/filbert"
	dbDir      = "/var/lib/filbert"
	logDir     = "/var/log/filbert"
	runDir     = "/run/filbert"
	mailDir    = "/var/mail"
	libexecDir = "/usr/local/libexec/filbert"
)

// Installed is the instance of the system.
func Installed() Instance {
	return Instance{
		Etc: etcDir, Spool: spoolDir, DB: dbDir, Run: runDir, Log: logDir,
		Mail: mailDir, Libexec: libexecDir,
	}
}

// Private is the instance that lies under dir, an absolute path, and runs as
// whoever starts it.
func Private(dir string) Instance {
	return Instance{
		Private: true, Dir: dir,
		Etc:   filepath.Join(dir, "etc"),
		Spool: filepath.Join(dir, "spool"),
		DB:    filepath.Join(dir, "db"),
		Run:   filepath.Join(dir, "run"),
		Log:   filepath.Join(dir, "log"),
		Mail:  filepath.Join(dir, "mail"), Libexec: libexecDir,
	}
}

// ConfigFile is the main configuration file of the instance.
func (i Instance) ConfigFile() string { return filepath.Join(i.Etc, "filbert.toml") }

// LogFile is where the suite's events go.
func (i Instance) LogFile() string { return filepath.Join(i.Log, "filbert.log") }

// Mine is the path of a socket where users ask about their own mail.
func (i Instance) Mine(name string) string { return filepath.Join(i.Run, "mine", name) }

// Control is the path of a control socket (proto.ControlMaster ...).
func (i Instance) Control(name string) string { return filepath.Join(i.Run, "control", name) }
