package tracestate

import (
	"math"
	"testing"
)

// The numbers are pkg/sampling's.
func TestThreshold(t *testing.T) {
	for _, tt := range []struct {
		p    float64
		th   uint64
		back float64
	}{
		{1, 0, 1},
		{2, 0, 1},
		{math.Inf(1), 0, 1},
		{math.Nextafter(1, 0), 8, math.Nextafter(1, 0)},
		{0.999, 0x4189374bc6a8, 0.999},
		{2. / 3, 0x55555555555558, 2. / 3},
		{0.5, 0x80000000000000, 0.5},
		{1. / 3, 0xaaaaaaaaaaaaac, 1. / 3},
		{0.25, 0xc0000000000000, 0.25},
		{0.1, 0xe6666666666666, 0.1},
		{0.01, 0xfd70a3d70a3d71, 0.009999999999999995},
		{0.001, 0xffbe76c8b43958, 0.0010000000000000009},
		{1e-9, 0xfffffffbb47d06, 9.999999994736442e-10},
		{0x1.4p-55, 0xfffffffffffffd, 0x3p-56},
		{0x1.8p-56, 0xfffffffffffffe, 0x2p-56},
		{0x1p-56, 0xffffffffffffff, 0x1p-56},
		{math.Nextafter(0x1p-56, 0), Max, 0},
		{0, Max, 0},
		{-1, Max, 0},
		{math.NaN(), Max, 0},
	} {
		if th := Threshold(tt.p); th != tt.th || Probability(th) != tt.back {
			t.Errorf("probability %v: threshold %#x, back %v; want %#x, %v", tt.p, th, Probability(th), tt.th, tt.back)
		}
	}
	if p := Probability(Max + 1); p != 0 {
		t.Errorf("the probability beyond never is %v", p)
	}
}
