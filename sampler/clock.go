package sampler

// maxStep is the most, in milliseconds, that one record moves partition time: docs/adr/008-time.md.
const maxStep = 10_000

// mostClocks is how many clocks are told apart. A partition has one leader at a time and seldom more than three replicas.
const mostClocks = 4

// latestTime is the year 37,000. Records can be stamped with anything; sums with it must not overflow.
const latestTime = 1 << 50

// A clock makes partition time from the timestamps of records, none of which is to be trusted: a broker's clock can be an hour
// ahead and its successor's right, it can be set back, and one stamp can be nonsense. It is a value: a copy goes on from where
// the original was.
//
// Stamps are told apart by the clock that they come from. A stamp is of a known clock if it is within a step of that clock's
// largest one. What a known clock advances, partition time advances; what it falls back by is disorder, and changes nothing.
// Every other stamp is of a new clock: if it is ahead of the one before, time has passed or a clock has leapt, which nobody can
// tell, and partition time advances by one step; if it is behind, by nothing. From then on the new clock is known.
//
// So partition time never goes back, moves by at most a step a record, goes on at the pace of whatever clock stamps, and
// follows from the stamps alone. Four cases, with a clock at 12:00:00 and partition time equal to it:
//
//  1. The leader's clock is an hour ahead from some record on: 13:00:01, 13:00:02. Time: 12:00:10, 12:00:11.
//  2. It is mended: 12:00:12. The earlier clock is known, if it was silent for no longer than a step; else it is a new one that
//     is behind. Time stays where it is, 12:00:11, and goes on by what 12:00:13 is later.
//  3. Two producers whose clocks differ by an hour take turns: 12:00:01, 11:00:01, 12:00:02, 11:00:02. Both are known after their
//     first stamps, and time goes by both at the same pace.
//  4. One record says the year 56,000: time advances by one step, and goes on with the record behind it.
type clock struct {
	now   int64 // partition time, Unix milliseconds at first; see set
	set   bool  // a stamp was seen
	known [mostClocks]reading
	count int // of known; the latest used is first
}

// A reading is the largest stamp of a clock, and how far partition time is ahead of it.
type reading struct{ stamp, ahead int64 }

// A turn is what one stamp did to partition time beyond moving it.
type turn uint8

const (
	steady turn = iota
	leapt       // the stamp is more than a step ahead of the one before
	fell        // it is more than a step behind, and of no clock that is known
)

// advance takes the stamp of the next record. It may be told the same stamp several times.
func (c *clock) advance(stamp int64) turn {
	stamp = min(max(stamp, 0), latestTime)
	if !c.set {
		c.now, c.set = stamp, true
		c.use(reading{stamp: stamp}, 0)
		return steady
	}
	for i := range c.count {
		r := c.known[i]
		if stamp < r.stamp-maxStep || stamp > r.stamp+maxStep {
			continue
		}
		r.stamp = max(r.stamp, stamp)
		r.ahead = max(r.ahead, c.now-maxStep-r.stamp) // others may have leapt: it does not wait for long until time comes to it
		c.now = max(c.now, r.stamp+r.ahead)
		c.use(r, i)
		return steady
	}
	how := fell
	if stamp > c.known[0].stamp {
		how = leapt
		c.now += maxStep
	}
	c.count = min(c.count+1, mostClocks)
	c.use(reading{stamp, c.now - stamp}, c.count-1)
	return how
}

// use puts a reading first, in the place of the one at i.
func (c *clock) use(r reading, i int) {
	c.count = max(c.count, 1)
	copy(c.known[1:i+1], c.known[:i])
	c.known[0] = r
}

// elapse lets time pass without a record.
func (c *clock) elapse(d int64) {
	c.now += d
	c.known[0].stamp += d
}

// stamped returns what the clock that stamps at present shows at a partition time: what people call the time of day.
func (c *clock) stamped(t int64) int64 { return t - c.known[0].ahead }
