package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"thresher/internal/config"
	"thresher/internal/node"
)

// parts are what the commands start, and their clock. They are given to the commands, so that these can be tested without
// starting anything.
type parts struct {
	// run runs a node until ctx ends, and returns nil when that is why it ended.
	run func(ctx context.Context, cfg *config.Config, logger *slog.Logger) error
	// demo runs the demo until ctx or its duration ends. It fails when the ledger does not balance.
	demo func(ctx context.Context, options demoOptions, stdout, stderr io.Writer) error
	// now is the time, to tell what has ended.
	now func() time.Time
}

func wired() parts { return parts{run: runNode, demo: runDemo, now: time.Now} }

func runNode(ctx context.Context, cfg *config.Config, logger *slog.Logger) error {
	n, err := node.New(cfg, node.Options{Logger: logger, Version: readBuild().version})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}
