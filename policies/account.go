package policies

import "math"

// An account is the budget of a limit, and may be overdrawn: a trace that costs more than there is passes like any other, and time repays
// the debt. So what passes does not hang on its size, and the rate holds.
//
// When the traces of a tick cost more than there is, each passes with a probability with which the rate is spent on average. It is known
// before any randomness is looked at, so counts made from what passes have no bias (Horvitz and Thompson); and it does not come from
// what the trace itself costs, but from what others of the tick cost, and what traces have cost before:
//
//	probability = (tokens + window) / (demand of the tick + usual demand in the time that brings the window)
//
// The window is what a few usual lumps cost, see demand.lump. Where many small traces come in a tick it is nothing beside them, and the
// tick spends what there is, as a token bucket does. Where few traces come, or some that are large beside the rate, a tick is no measure of
// what is asked: then each passes with about the probability rate / usual demand, and tokens below or above zero correct it.
type account struct {
	budget
	usual demand
}

const (
	// lumpsInWindow is a choice between two ends. With few, the probability of a trace hangs on how long none came before it, and weights
	// spread. With many, more is spent at once than the capacity of a budget says.
	lumpsInWindow = 2
	// lumpsSavedUp are saved up at least. A share of a limit can be smaller than a trace, and tokens then go up and down by lumps: a
	// budget with less room would waste what the traces between leave.
	lumpsSavedUp = 3

	mostDebt = mostTokens * unit // parts
)

// newAccount returns an account that is full, as if nothing had been asked for as long as that takes, or a period if it takes longer.
func newAccount(rate, capacity float64) account {
	a := account{budget: newBudget(rate, capacity)}
	a.rate = max(a.rate, 1)
	a.usual.time = max(Tick, uint64(min(math.Ceil(float64(a.capacity)/float64(a.rate)*1000), demandPeriod)))
	return a
}

// room returns the parts that are saved up at most.
func (a *account) room() int64 { return max(a.capacity, units(lumpsSavedUp*a.usual.lump(0))) }

// refill adds what time has brought.
func (a *account) refill(now int64) {
	a.usual.forget(now)
	since := a.budget.refill(now, a.room())
	a.usual.quiet = min(a.usual.quiet+since, mostDemand)
}

// window returns the window of a trace that costs so much, tokens.
func (a *account) window(cost float64) float64 { return lumpsInWindow * a.usual.lump(cost) }

// allowance returns what may be spent in a tick and in a window, tokens. It falls with a debt, the slower the larger that is, so that
// there is always a chance: to the half where half of what time brings in tick and window is owed.
func (a *account) allowance(window float64) float64 {
	brings := float64(a.rate) / unit * (Tick / 1000)
	before := float64(a.tokens)/unit - brings
	all := window + brings
	if before < -all/2 {
		return float64(all*all) / (-4 * before)
	}
	return before + all
}

// owed returns the debt in whole tokens.
func (a *account) owed() int64 {
	if a.tokens >= 0 {
		return 0
	}
	return (-a.tokens + unit - 1) / unit
}

// settle ends a tick in which so much was spent, parts.
func (a *account) settle(asked *demand, spent int64) {
	a.tokens = max(a.tokens-spent, -mostDebt)
	a.usual.take(asked)
	a.cut(a.room())
}

func (a *account) appendTo(out []byte) []byte { return a.usual.appendTo(a.budget.appendTo(out)) }

// decode takes over a state, cut to the present size: the number of partitions may have changed.
func (a *account) decode(d *stateDecoder) {
	a.budget.decode(d)
	a.usual.decode(d)
	a.cut(a.room())
}

// A grant is what an account has for the traces of a tick, and what they ask for.
type grant struct {
	account *account
	asked   demand
}

// grant begins a tick.
func (a *account) grant(now int64) grant {
	a.refill(now)
	return grant{account: a}
}

// ask adds a trace that costs so much with a share, of certain, of all the randomness and hashes that it could have.
func (g *grant) ask(cost, share uint64) {
	g.asked.add(chargeable(cost), share)
}

// chargeable returns the cost of a trace as far as it is counted.
func chargeable(cost uint64) uint64 { return min(cost, mostTokens) }

// A claim is what a trace asks for, and what it competes with. Nothing in it comes from what the trace costs itself, unless few traces
// are known.
type claim struct {
	cost    float64
	demand  float64 // of the tick, tokens
	aSecond float64 // what is usually asked, tokens
}

// claim returns that of a trace which has asked with a share.
func (g *grant) claim(cost, share uint64) claim {
	u := &g.account.usual
	own, c := float64(share)/certain, float64(chargeable(cost))
	tick := float64(g.asked.traces) / certain
	others := max(float64(g.asked.cost)/certain-float64(own*c), 0) // of the tick
	costs := float64(u.cost)/certain + others
	young, usual, all := u.young(), c, 0.0
	if young < 1 {
		mean := costs / (float64(u.traces)/certain + max(tick-own, 0))
		usual = float64(young*c) + float64((1-young)*mean)
		all = float64(float64((1-young)*tick) * mean)
	}
	return claim{
		cost: c,
		// In a tick of many the others tell what such traces cost now; what few traces cost may be far from what they usually do.
		demand:  max(all, others+float64(own*usual)),
		aSecond: (costs + float64(own*usual)) / (float64(u.elapsed()) / 1000),
	}
}

// share returns with which probability the trace of a claim passes, so that what passes costs on average what there is: 1 and more if
// there is as much as is asked.
func (a *account) share(c *claim) float64 {
	const plenty = 1 << 10
	window := a.window(c.cost)
	asked := c.demand + float64(window*c.aSecond)/(float64(a.rate)/unit)
	if may := a.allowance(window); may < float64(plenty*asked) {
		return may / asked
	}
	return plenty
}
