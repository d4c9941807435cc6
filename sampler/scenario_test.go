package sampler

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios runs testdata/*: commands in, deliveries and state out. Regenerate with -rewrite, and commit only changes whose
// cause you understand.
//
//	machine wait=10s root=2s late=30s [max-bytes=N] [buffer=N] [dropped] [part=N] [of=N [move]]   begin an empty log; the policies as YAML.
//	                                                With of it is partition 0 of so many, and move moves what is misplaced
//	policies wait=10s root=2s                       switch to other policies
//	record at=1s [moved]                            append a record with these spans to the log, and apply it
//	bytes at=1s                                     the same with bytes, as a Go string literal
//
// //	ack trace...                                    acknowledge deliveries (all parts), oldest first
//
//	state | stats
//	checkpoint                                      take one and remember it
//	restart [forget]                                restore from it (forget: from nothing) and read the log again
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{t: t}
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			out, err := s.run(d)
			if err != nil {
				return fmt.Sprintf("error: %v\n", err)
			}
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

type scenario struct {
	m          *Machine
	limits     Limits
	settings   Settings
	log        []logRecord
	checkpoint []byte
	pending    []Delivery
	t          testing.TB
	moved      map[int]bool // records that another machine has moved here
}

type logRecord struct {
	at    int64
	value []byte
}

func (s *scenario) run(d *datadriven.TestData) (string, error) {
	var out strings.Builder
	switch d.Cmd {
	case "machine":
		s.limits = Limits{LateWindow: ms(d, "late"), BufferBytes: number(d, "buffer"), MaxPayload: number(d, "part"), DeliverDropped: d.HasArg("dropped"),
			Partitions: number(d, "of"), MoveMisplaced: d.HasArg("move")}
		var err error
		if s.settings, err = settings(d); err != nil {
			return "", err
		}
		s.log, s.checkpoint, s.pending, s.moved = nil, nil, nil, map[int]bool{}
		s.m, err = New(s.limits, s.settings)
		return "", err
	case "policies":
		set, err := settings(d)
		if err != nil {
			return "", err
		}
		s.settings = set
		return "", s.m.SetPolicies(set)
	case "record", "bytes":
		value, err := parseSpans(d.Input)
		if d.Cmd == "bytes" {
			var text string
			text, err = strconv.Unquote(strings.TrimSpace(d.Input))
			value = []byte(text)
		}
		if err != nil {
			return "", err
		}
		s.log = append(s.log, logRecord{ms(d, "at"), value})
		s.moved[len(s.log)-1] = d.HasArg("moved")
		s.apply(&out, len(s.log)-1)
	case "tick":
		for next := s.m.clock.known[0].stamp; next < ms(d, "at"); {
			next = min(next+maxStep, ms(d, "at"))
			s.log = append(s.log, logRecord{next, nil})
			s.apply(&out, len(s.log)-1)
		}
	case "ack":
		for _, a := range d.CmdArgs {
			s.ack(&out, a.Key)
		}
		fmt.Fprintf(&out, "resume at %d\n", s.m.Resume())
	case "state":
		s.state(&out)
	case "stats":
		s.stats(&out)
	case "checkpoint":
		c := s.m.Checkpoint()
		s.checkpoint, _ = c.MarshalBinary()
		fmt.Fprintf(&out, "resume at %d, replay from %d, time %d\n", c.Resume, c.ReplayFrom.Offset, c.ReplayFrom.Time)
		for _, k := range c.Delivered {
			fmt.Fprintf(&out, "delivered %s of %d %s\n", traceName(k.ID), k.Offset, [...]string{"decided", "late dropped", "late kept", "moved away"}[k.Kind])
		}
		for _, l := range c.Long {
			fmt.Fprintf(&out, "long %s kept=%v last seen %d\n", traceName(l.ID), l.Kept, l.LastSeen)
		}
	case "restart":
		return s.restart(d.HasArg("forget"))
	default:
		return "", fmt.Errorf("unknown command %s", d.Cmd)
	}
	return out.String(), nil
}

func (s *scenario) restart(forget bool) (string, error) {
	var out strings.Builder
	s.pending = nil
	from := 0
	var err error
	if forget || s.checkpoint == nil {
		s.m, err = New(s.limits, s.settings)
	} else {
		var c Checkpoint
		if err := c.UnmarshalBinary(s.checkpoint); err != nil {
			return "", err
		}
		from = int(c.ReplayFrom.Offset)
		s.m, err = Restore(s.limits, s.settings, &c)
	}
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "reading from %d\n", from)
	for i := from; i < len(s.log); i++ {
		s.apply(&out, i)
	}
	return out.String(), nil
}

func (s *scenario) apply(out *strings.Builder, i int) {
	record := s.m.Record
	if s.moved[i] {
		record = s.m.Moved
	}
	if err := record(Offset(i), s.log[i].at, s.log[i].value); err != nil {
		fmt.Fprintf(out, "damaged record %d: %v\n", i, err)
	}
	s.effects(out)
}

func (s *scenario) effects(out *strings.Builder) {
	fx := s.m.Effects()
	for _, d := range fx.Deliveries {
		s.pending = append(s.pending, d)
		what := "drop"
		if d.Kept {
			what = "keep"
		}
		if d.Late {
			what = "late " + what
		}
		fmt.Fprintf(out, "%s %s from %d", what, traceName(d.TraceID), d.Offset)
		if d.Policy != "" {
			fmt.Fprintf(out, " by %s", d.Policy)
		}
		if len(d.Matched) > 1 {
			fmt.Fprintf(out, " matched %v", d.Matched)
		}
		if !d.Late && !d.Complete {
			fmt.Fprint(out, " incomplete")
		}
		if d.Early {
			fmt.Fprint(out, " early")
		}
		fmt.Fprint(out, ":")
		s.spans(out, d)
	}
	for _, i := range fx.Invalid {
		fmt.Fprintf(out, "invalid in %d: %d spans: %s\n", i.Offset, i.Spans, i.Reason)
	}
	for _, mv := range fx.Moves {
		d := Delivery{Seq: mv.Seq, TraceID: mv.TraceID, Payload: mv.Payload}
		s.pending = append(s.pending, d)
		fmt.Fprintf(out, "move %s from %d to partition %d:", traceName(mv.TraceID), mv.Offset, mv.Partition)
		s.spans(out, d)
	}
	if x, ok := s.m.TakeMisplaced(); ok {
		fmt.Fprintf(out, "misplaced: %s of %d belongs to partition %d\n", traceName(x.TraceID), x.Offset, x.Partition)
	}
	s.m.Clear()
}

func (s *scenario) spans(out *strings.Builder, d Delivery) {
	payloads := [][]byte{d.Payload}
	if d.Offsets != nil {
		fmt.Fprintf(out, " (read again from %v)", d.Offsets)
		payloads = readAgain(s.t, s.m, &d, s.limits.MaxPayload, s.log)
	}
	for i, p := range payloads {
		names, err := spanNames(p)
		if err != nil {
			fmt.Fprintf(out, " %v", err)
		}
		if i > 0 {
			fmt.Fprint(out, " |")
		}
		fmt.Fprintf(out, " %s", strings.Join(names, " "))
	}
	fmt.Fprintln(out)
}

func (s *scenario) ack(out *strings.Builder, name string) {
	for i, d := range s.pending {
		if traceName(d.TraceID) == name {
			rest := s.pending[:0:0]
			for _, p := range s.pending {
				if p.Seq == d.Seq {
					s.m.Ack(p.Seq)
				} else {
					rest = append(rest, p)
				}
			}
			s.pending = rest
			return
		}
		_ = i
	}
	fmt.Fprintf(out, "nothing of %s is waiting\n", name)
}

func (s *scenario) state(out *strings.Builder) {
	tau, _ := s.m.Time()
	fmt.Fprintf(out, "time %d, next %d, resume at %d, %d open, %d decided\n", tau, s.m.Next(), s.m.Resume(), s.m.traces.Traces(), s.m.traces.Decisions())
	var lines []string
	s.m.queue.each(func(_ uint64, it *item) bool {
		lines = append(lines, fmt.Sprintf("%s of %d: %s", traceName(it.id), it.offset, [...]string{"open", "waiting", "delivered", "settled", "again"}[it.state]))
		return true
	})
	fmt.Fprintln(out, strings.Join(append(lines, ""), "\n"))
}

func (s *scenario) stats(out *strings.Builder) {
	st := s.m.Stats()
	fmt.Fprintf(out, "received %d = kept %d + dropped %d + late kept %d + late dropped %d + duplicate %d + invalid %d + in flight %d\n",
		st.Received, st.Kept, st.Dropped, st.LateKept, st.LateDropped, st.Duplicate, st.Invalid, st.InFlight)
	fmt.Fprintf(out, "traces kept %d dropped %d early %d spilled %d; spans rebuilt %d; delivered before the restart %d; damaged records %d\n",
		st.KeptTraces, st.DroppedTraces, st.EarlyTraces, st.SpilledTraces, st.Rebuilt, st.Redelivered, st.DamagedRecords)
	if st.Misplaced > 0 {
		fmt.Fprintf(out, "(and moved %d); misplaced spans %d; misplaced traces opened here %d\n", st.Moved, st.Misplaced, st.MisplacedTraces)
	}
	sort.Slice(st.Policies, func(i, j int) bool { return st.Policies[i].Name < st.Policies[j].Name })
	for _, p := range st.Policies {
		fmt.Fprintf(out, "%q kept %d/%d dropped %d/%d", p.Name, p.KeptTraces, p.KeptSpans, p.DroppedTraces, p.DroppedSpans)
		if p.MissedSpans > 0 {
			fmt.Fprintf(out, " missed %d", p.MissedSpans)
		}
		fmt.Fprintln(out)
	}
	for i, n := range st.MissedAge {
		if n > 0 && i < len(AgeBounds) {
			fmt.Fprintf(out, "missed %d within %d ms\n", n, AgeBounds[i])
		}
	}
}

func settings(d *datadriven.TestData) (Settings, error) {
	plan, err := parsePlan(d.Input)
	return Settings{Plan: plan, DecisionWait: ms(d, "wait"), RootWait: ms(d, "root"), MaxTraceBytes: uint64(number(d, "max-bytes"))}, err
}

// ms reads a duration argument such as 2s or 1500, in milliseconds; 0 if it is absent.
func ms(d *datadriven.TestData, key string) int64 {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			if v, ok := strings.CutSuffix(a.Vals[0], "s"); ok {
				n, _ := strconv.ParseInt(v, 10, 64)
				return n * 1000
			}
			n, _ := strconv.ParseInt(a.Vals[0], 10, 64)
			return n
		}
	}
	return 0
}

func number(d *datadriven.TestData, key string) int {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			n, _ := strconv.Atoi(a.Vals[0])
			return n
		}
	}
	return 0
}
