package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"thresher/internal/kafka"
)

const commitEvery = time.Second

// commits gathers the offsets whose checkpoints are stored and commits them to the consumer group, all partitions in one
// request. Nothing depends on it but the tools that show lag: recovery reads checkpoints.
type commits struct {
	store *kafka.Checkpoints
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[int32]kafka.Committed
}

func (c *commits) put(partition int32, at kafka.Committed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[partition] = at
}

// run commits until ctx ends.
func (c *commits) run(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := c.flush(ctx); err != nil && ctx.Err() == nil && time.Since(told) > 10*time.Second {
				told = time.Now()
				c.log.Warn("cannot commit offsets to the consumer group; lag tools show old ones, nothing else depends on it", "error", err)
			}
		}
	}
}

// flush commits what is waiting. What cannot be committed waits on, unless there is something newer.
func (c *commits) flush(ctx context.Context) error {
	c.mu.Lock()
	now := c.waiting
	c.waiting = map[int32]kafka.Committed{}
	c.mu.Unlock()
	if len(now) == 0 {
		return nil
	}
	err := c.store.Commit(ctx, now)
	if err != nil {
		c.mu.Lock()
		for p, o := range now {
			if _, newer := c.waiting[p]; !newer {
				c.waiting[p] = o
			}
		}
		c.mu.Unlock()
	}
	return err
}
