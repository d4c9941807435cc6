package sampler

import (
	"math"
	"slices"

	"thresher/policies"
)

// Rules are how long the traces wait, and how large they get, whose first span comes from a place on, and how long decisions are
// remembered there. A restart reads the log again from before the checkpoint, and makes the decisions of then again: with other waits, a
// trace that was settled would still be open when its late span comes, and swallow it; with a shorter window, the late span would
// begin a trace of its own. So a checkpoint has all rules that what is read again was decided by.
type Rules struct {
	From                   Resume
	Since                  int64 // partition time when they came into force, Unix milliseconds: what came before in the log is not younger
	DecisionWait, RootWait int64
	MaxTraceBytes          uint64
	Tick                   int64 // decisions are made at multiples of it: 1, or policies.Tick. Milliseconds
	LateWindow             int64 // as configured
	// Hold is how long decisions are remembered: LateWindow, or longer while traces can be open that began under longer waits. A restart
	// would take the rest of a trace whose decision is forgotten for an open trace if it had not been due by then.
	Hold int64
}

// rules returns those of the settings, from a place on.
func (s *Settings) rules(l *Limits, from Resume) Rules {
	r := Rules{
		From: from, Since: math.MinInt64, DecisionWait: s.DecisionWait, RootWait: s.RootWait, MaxTraceBytes: s.MaxTraceBytes, Tick: 1,
		LateWindow: l.LateWindow,
	}
	if s.Plan.Stateful() {
		r.Tick = policies.Tick
	}
	return r
}

// under returns the settings with other rules.
func (s Settings) under(r Rules) Settings {
	s.DecisionWait, s.RootWait, s.MaxTraceBytes = r.DecisionWait, r.RootWait, r.MaxTraceBytes
	return s
}

// isBad reports whether no settings can have had these rules.
func (r Rules) isBad() bool {
	const most = 1 << 52 // no sum overflows
	return r.From < 0 || r.DecisionWait < 1 || r.DecisionWait > most || r.RootWait < 0 || r.RootWait > most || r.Tick != 1 && r.Tick != policies.Tick ||
		r.LateWindow < 0 || r.LateWindow > most || r.Hold < 0 || r.Hold > most
}

// like reports whether traces are decided at the same times by both.
func (r Rules) like(other Rules) bool {
	r.From, r.Since, r.Hold = other.From, other.Since, other.Hold
	return r == other
}

// longest returns the longest time from the first span of a trace to its decision.
func (r Rules) longest() int64 { return r.DecisionWait + r.Tick - 1 }

// Cut tells that the log was cut at a place before c.Resume: what lies behind is not what the checkpoint speaks of.
func (c *Checkpoint) Cut(at Resume) {
	c.Resume, c.Next = at, at
	if c.ReplayFrom.Offset > at {
		c.ReplayFrom = Start{Offset: at, dead: math.MinInt64} // the time there is not known
	}
	c.Delivered = nil
	c.State, c.StateAt = nil, 0 // policies that know of other traces know of other ones
	c.Evictions = slices.DeleteFunc(c.Evictions, func(e Eviction) bool { return !at.Settles(e.At) })
	for len(c.Rules) > 1 && c.Rules[len(c.Rules)-1].From > at {
		c.Rules = c.Rules[:len(c.Rules)-1]
	}
}

// ruleBook are the rules of a machine.
type ruleBook struct {
	past    []Rules // oldest first; the last are in force
	pending []Rules // of before a restart, for places that reading has not reached again
}

// waits are the longest waits so far, each with the partition time since when.
type waits []waitSince

type waitSince struct{ wait, since int64 }

// begin notes a wait that is in force from now on.
func (w *waits) begin(wait, now int64) {
	if n := len(*w); n == 0 || (*w)[n-1].wait < wait {
		*w = append(*w, waitSince{wait, now})
	}
}

// of returns the longest wait of traces that began at a time.
func (w waits) of(first int64) int64 {
	i := len(w) - 1
	for i > 0 && w[i].since > first {
		i--
	}
	return w[i].wait
}

// replayFrom returns from when on the traces are read again that were alive within a window before at: of those that began earlier, each
// has lived for longer than its wait.
func (w *waits) replayFrom(at, window int64) int64 {
	from := int64(math.MaxInt64)
	for i, x := range *w {
		if f := max(x.since, at-window-x.wait); i+1 == len(*w) || f < (*w)[i+1].since {
			from = min(from, f)
		}
	}
	return from
}

// mostRules bounds what is kept of changes at run time, one behind the other.
const mostRules = 1000

// active returns the rules in force.
func (b *ruleBook) active() Rules { return b.past[len(b.past)-1] }

// end makes r the rules for what was not read before the restart.
func (b *ruleBook) end(r Rules) {
	b.pending = slices.DeleteFunc(b.pending, func(p Rules) bool { return p.From >= r.From })
	last := b.active()
	if n := len(b.pending); n > 0 {
		last = b.pending[n-1]
	}
	if !last.like(r) {
		b.pending = append(b.pending, r)
	}
}

// begin notes that rules come into force.
func (b *ruleBook) begin(r Rules, now int64) {
	r.Since = now
	r.Hold = max(r.Hold, r.LateWindow, r.longest())
	for i := range b.past {
		if i+1 == len(b.past) || b.past[i+1].Since > now-b.past[i].longest() { // traces that began under it can be open
			r.Hold = max(r.Hold, b.past[i].longest())
		}
	}
	if n := len(b.past); n > 0 {
		last := &b.past[n-1]
		switch {
		case last.like(r):
			return
		case r.From <= last.From: // nothing has begun under the last
			r.From = last.From
			*last = r
			return
		}
	}
	b.past = append(b.past, r)
	if n := len(b.past) - mostRules; n > 0 {
		b.past = slices.Delete(b.past, 0, n)
	}
}

// hold returns how long decisions were remembered at a partition time, or longer.
func (b *ruleBook) hold(at int64) (longest int64) {
	for i := range b.past {
		if i == 0 || b.past[i].Since <= at {
			if i+1 == len(b.past) || b.past[i+1].Since >= at {
				longest = max(longest, b.past[i].Hold)
			}
		}
	}
	return longest
}

// needed returns the rules of a checkpoint: those that traces can have begun under that begin at or after a time, or at or after a place.
func (b *ruleBook) needed(from int64, resume Resume) []Rules {
	var list []Rules
	for i, r := range b.past {
		if i+1 < len(b.past) && b.past[i+1].Since < from && b.past[i+1].From <= resume {
			continue
		}
		list = append(list, r)
	}
	return append(list, b.pending...)
}
