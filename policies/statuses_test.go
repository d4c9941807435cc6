package policies

import (
	"fmt"
	"strconv"
	"strings"
)

// statusConditions stand in for OTTL: an expression is a status in numbers of which it is true, or `fail` and one with which it
// cannot be evaluated.
type statusConditions struct{}

func (statusConditions) Compile(e Expressions) (SpanCondition, []ExpressionError) {
	return statusCondition(e), nil
}

func (statusConditions) NewView() SpanView { return &statusView{} }

type statusView struct{ status byte }

func (v *statusView) Set(_, _, span []byte, _ int64) { v.status = span[0] }

type statusCondition Expressions

func (c statusCondition) Match(v SpanView) (bool, error) {
	var first error
	for _, x := range c.Span {
		is, err := statusIs(x, v.(*statusView).status)
		switch {
		case is:
			return true, nil
		case err != nil && c.StopOnError:
			return false, err
		case err != nil && first == nil:
			first = err
		}
	}
	return false, first
}

func statusIs(expression string, status byte) (bool, error) {
	text, fails := strings.CutPrefix(expression, "fail ")
	code, err := strconv.Atoi(text)
	if err != nil {
		return false, err
	}
	if fails && code == int(status) {
		return false, fmt.Errorf("status is %d", code)
	}
	return !fails && code == int(status), nil
}
