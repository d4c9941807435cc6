package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"thresher/internal/receive"
	"thresher/internal/suggest"
)

// Node is the node section: what concerns the process.
type Node struct {
	// Listen is the host:port of the HTTP server with /healthz, /readyz, /metrics and /api. Default 127.0.0.1:8080.
	Listen string `mapstructure:"listen"`
	// MemoryLimit bounds what the process may use, in bytes; 64MiB or more. 0, the default, takes three quarters of what
	// the container or the machine has.
	MemoryLimit receive.ByteSize `mapstructure:"memory_limit"`
	// Pprof serves Go profiles at /debug/pprof/ on Listen. Default false.
	Pprof bool `mapstructure:"pprof"`
	// Log is what the process says on standard error.
	Log Log `mapstructure:"log"`
}

// Log configures the messages.
type Log struct {
	// Level is the least urgent that is shown: debug, info (default), warn or error.
	Level string `mapstructure:"level"`
	// Format is text (default) or json.
	Format string `mapstructure:"format"`
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

const leastMemory receive.ByteSize = 64 << 20

func defaultNode() Node {
	return Node{Listen: "127.0.0.1:8080", Log: Log{Level: "info", Format: "text"}}
}

// Validate checks the values.
func (n *Node) Validate() error {
	var errs []error
	if err := checkListen(n.Listen, "127.0.0.1:8080"); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if n.MemoryLimit != 0 && n.MemoryLimit < leastMemory {
		errs = append(errs, fmt.Errorf("memory_limit: %v is too little; write %v or more, such as 8GiB, or remove the line for three "+
			"quarters of what the machine has", n.MemoryLimit, leastMemory))
	}
	errs = append(errs, oneOf("log.level", n.Log.Level, logLevels), oneOf("log.format", n.Log.Format, logFormats))
	return errors.Join(errs...)
}

func oneOf(key, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	hint := suggest.DidYouMean(value, known)
	if hint == "" {
		hint = "; write one of " + strings.Join(known, ", ")
	}
	return fmt.Errorf("%s: %q is not known%s", key, value, hint)
}

// Logger returns the logger that the section describes.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(l.Level)) != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
