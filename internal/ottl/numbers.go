package ottl

import (
	"context"
	"errors"
	"math"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

var errBeyondInt = errors.New("the number is beyond what an integer can hold")

// amendInt refuses numbers without an integer: what Go makes of them depends on the processor.
func amendInt[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	target, err := argument[ottl.IntLikeGetter[K]](c, "Target")
	if err != nil {
		return nil, err
	}
	if source, ok := (*target).(ottl.StandardIntLikeGetter[K]); ok {
		*target = ottl.StandardIntLikeGetter[K]{Getter: func(ctx context.Context, x K) (any, error) {
			v, err := source.Getter(ctx, x)
			if err != nil {
				return nil, err
			}
			f, ok := v.(float64)
			if value, is := v.(pcommon.Value); is && value.Type() == pcommon.ValueTypeDouble {
				f, ok = value.Double(), true
			}
			if ok && !(f >= -(1<<63) && f < 1<<63) {
				return nil, errBeyondInt
			}
			return v, nil
		}}
	}
	return c.create()
}

var errLog = errors.New("the logarithm of a number that is not above 0")

// amendLog computes logarithms in the same way on every processor.
func amendLog[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	target, err := argument[ottl.FloatLikeGetter[K]](c, "Target")
	if err != nil {
		return nil, err
	}
	source := *target
	return func(ctx context.Context, x K) (any, error) {
		f, found, err := source.Get(ctx, x)
		if err != nil {
			return nil, err
		}
		if !found || f <= 0 {
			return nil, errLog
		}
		return ln(f), nil
	}, nil
}

// ln is math.Log (FreeBSD's e_log.c) with every product rounded. math.Log itself is assembly on one processor and compiled with
// fused multiply-add on another, and their last bits differ.
func ln(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		l1    = 6.666666666666735130e-01
		l2    = 3.999999999940941908e-01
		l3    = 2.857142874366239149e-01
		l4    = 2.222219843214978396e-01
		l5    = 1.818357216161805012e-01
		l6    = 1.531383769920937332e-01
		l7    = 1.479819860511658591e-01
	)
	if math.IsNaN(x) || math.IsInf(x, 1) {
		return x
	}
	f1, ki := math.Frexp(x)
	if f1 < math.Sqrt2/2 {
		f1 *= 2
		ki--
	}
	f, k := f1-1, float64(ki)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	t2 := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	half := float64(float64(0.5*f) * f)
	return float64(k*ln2Hi) - ((half - (float64(s*(half+(t1+t2))) + float64(k*ln2Lo))) - f)
}
