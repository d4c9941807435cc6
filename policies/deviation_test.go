package policies

import (
	"fmt"
	"math"
)

const statEpoch = 1_000_000_000 // of partition time, milliseconds

// A deviation is how far estimates are from the truth, by run.
type deviation struct{ n, sum, squares float64 }

func (d *deviation) add(x float64) { d.n++; d.sum += x; d.squares += x * x }

func (d *deviation) mean() float64 { return d.sum / d.n }

// bar is the standard error of the mean.
func (d *deviation) bar() float64 {
	return math.Sqrt(max(d.squares/d.n-d.mean()*d.mean(), 0)/d.n) + 1e-12
}

func (d *deviation) String() string {
	return fmt.Sprintf("%+.2f %% +- %.2f (z %+.1f)", 100*d.mean(), 100*d.bar(), d.mean()/d.bar())
}
