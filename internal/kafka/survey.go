package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	surveyEvery = 200 * time.Millisecond
	mendMin     = 200 * time.Millisecond
	mendMax     = 10 * time.Second
	skipAfter   = 5 // failures of one batch
	// rewind is how far before the last read record reading goes on if it is not known where the log was cut.
	rewind = time.Minute
)

// A breakage is a partition that franz-go does not fetch any more.
type breakage struct {
	feed     *Feed
	at       int64    // where it stopped
	id       [16]byte // of the topic that was read
	lastTime int64    // of the last record before, milliseconds
	cause    error
	tries    int
	due      time.Time
}

// A mend is where the reading of a broken partition goes on.
type mend struct {
	feed  *Feed
	to    int64
	cause error
	anew  bool // the topic was deleted and made again
	id    [16]byte
}

// breakOff stops the fetching of a partition until survey has found out where to go on. franz-go either has given it up
// or would ask for the same again without a pause.
func (r *Reader) breakOff(f *Feed, cause error) {
	r.c.counters.fetchErrors.Add(1)
	r.c.log.Error("reading of a partition is interrupted", "topic", r.c.cfg.Spans.Topic, "partition", f.partition,
		"offset", f.next, "error", cause)
	f.mending = true
	r.kc.RemoveConsumePartitions(map[string][]int32{r.c.cfg.Spans.Topic: {f.partition}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, &breakage{feed: f, id: r.c.spansID(), at: f.next, lastTime: f.lastTime, cause: cause})
}

// survey asks where to go on with partitions whose reading broke. It is a goroutine of its own so that reading does not wait
// for answers.
func (r *Reader) survey(ctx context.Context) {
	tick := time.NewTicker(surveyEvery)
	defer tick.Stop()
	broken := make(map[int32]*breakage)
	lastBreak := make(map[int32]*breakage) // how often the same offset broke
	var complain = seldom{every: 10 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// A fetch does not fail for a topic that was made anew before the first one, or that the client has looked up again since.
		anew := r.c.madeAnew()
		r.mu.Lock()
		fresh := r.broken
		r.broken = nil
		if anew && !r.anew {
			r.anew = true
			r.kick()
		}
		r.mu.Unlock()
		for _, b := range fresh {
			if was := lastBreak[b.feed.partition]; was != nil && was.feed == b.feed && was.at == b.at {
				b.tries = was.tries
			}
			lastBreak[b.feed.partition] = b
			b.due = time.Now().Add(min(mendMax, mendMin<<min(b.tries, 8)))
			broken[b.feed.partition] = b
		}
		for p, b := range broken {
			if time.Now().Before(b.due) {
				continue
			}
			b.tries++
			m, err := r.whereToGoOn(ctx, b)
			if err != nil {
				b.due = time.Now().Add(min(mendMax, mendMin<<min(b.tries, 8)))
				if ctx.Err() == nil && complain.now() {
					r.c.log.Error("reading of a partition stays interrupted", "topic", r.c.cfg.Spans.Topic, "partition", p,
						"offset", b.at, "cause", b.cause, "error", err)
				}
				continue
			}
			delete(broken, p)
			r.mu.Lock()
			r.mended = append(r.mended, m)
			r.kick()
			r.mu.Unlock()
		}
	}
}

// whereToGoOn finds the offset at which nothing that can be read is skipped and as little as possible read twice.
func (r *Reader) whereToGoOn(ctx context.Context, b *breakage) (mend, error) {
	c, p := r.c, b.feed.partition
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	c.forgetLeaders(c.cfg.Spans.Topic)
	_, id, err := c.leader(ctx, c.cfg.Spans.Topic, p)
	if err != nil {
		return mend{}, err
	}
	m := mend{feed: b.feed, to: b.at, cause: b.cause, id: id}
	start, err := c.StartOffset(ctx, p)
	if err != nil {
		return mend{}, err
	}
	// Compared with the topic that this partition was read from: another partition may have noticed the new one first.
	if id != b.id {
		m.anew, m.to = true, start
		return m, nil
	}
	ends, err := c.EndOffsets(ctx, []int32{p})
	if err != nil {
		return mend{}, err
	}
	end := ends[p]
	switch {
	case b.at < start:
		m.to = start
	case b.at > end:
		// An unclean leader election. Records may have been appended behind the cut already: not the end, but where
		// the time of the last read record begins.
		m.to = end
		if b.lastTime > 0 {
			at, err := c.OffsetForTime(ctx, p, b.lastTime-rewind.Milliseconds())
			if err != nil {
				return mend{}, err
			}
			m.to = min(at, end)
		}
	case b.tries >= r.patience && !kerr.IsRetriable(b.cause) && !errors.Is(b.cause, kerr.OffsetOutOfRange):
		if m.to, err = c.batchEnd(ctx, c.cfg.Spans.Topic, p, b.at); err != nil {
			return mend{}, err
		}
		m.cause = fmt.Errorf("this batch cannot be read: %w", b.cause)
	}
	return m, nil
}

// startAnew makes franz-go forget the topic, which it would otherwise never fetch again, and all partitions start over.
func (r *Reader) startAnew(m mend) {
	if r.c.spansID() == m.id {
		return // another partition has noticed before
	}
	r.c.log.Error("the topic was deleted and created again; reading starts over", "topic", r.c.cfg.Spans.Topic)
	r.kc.PurgeTopicsFromConsuming(r.c.cfg.Spans.Topic)
	r.c.setSpansID(m.id)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.active {
		if !f.mending {
			f.mending = true
			// Wherever the new log begins: if not at 0, the next fetch says so.
			r.mended = append(r.mended, mend{feed: f, to: 0, cause: m.cause})
		}
	}
	r.kick()
}
