// Master runs the suite of one instance: see pkg/master. It stays in the
// foreground; mtactl start puts it behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"filbert/pkg/config"
	"filbert/pkg/master"
	"filbert/pkg/settings"
)

// version is set by the linker.
var version = "devel"

func main() {
	dir := flag.String("C", "", "run the private instance under `DIR`")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "master: unexpected argument %q\n", flag.Arg(0))
		os.Exit(master.ExitUsage)
	}
	master.CloseInherited()
	err := master.Run(context.Background(), master.Options{
		Load:    func() (*settings.Settings, []string, error) { return load(*dir) },
		Version: version,
		Confine: master.Confine,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "master: %v\n", err)
		os.Exit(master.ExitStatus(err))
	}
}

// load reads the configuration for the daemons that lie beside this program.
func load(dir string) (*settings.Settings, []string, error) {
	inst, path, err := config.Find(dir)
	if err != nil {
		return nil, nil, err
	}
	if exe, err := os.Executable(); err == nil {
		inst.Libexec = filepath.Dir(exe)
	}
	s, problems, err := config.Load(path, inst)
	var told []string
	for _, p := range problems {
		told = append(told, p.String())
	}
	return s, told, err
}
