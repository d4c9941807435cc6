package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what this binary was made from.
type build struct {
	version  string // of the module, (devel) for a build from a work tree
	revision string // of the version control system, empty if the build did not note it
	time     string // of the revision
	modified bool   // the work tree had changes
}

func readBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{version: "(unknown)"}
	}
	b := build{version: info.Main.Version}
	if b.version == "" {
		b.version = "(devel)"
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.revision = setting.Value
		case "vcs.time":
			b.time = setting.Value
		case "vcs.modified":
			b.modified = setting.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	s := "thresher " + b.version
	if b.revision != "" {
		s += "\nrevision " + b.revision
		if b.time != "" {
			s += " of " + b.time
		}
		if b.modified {
			s += ", with local changes"
		}
	}
	return s + fmt.Sprintf("\n%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this binary was built from",
		Long: `Prints the version, the revision of the source and the version of Go that this
binary was built from. Quote it when you report a problem.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), readBuild())
			return nil
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, but there is %q", cmd.CommandPath(), args[0])
	}
	return nil
}
