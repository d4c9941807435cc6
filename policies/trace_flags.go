package policies

// traceFlags passes a trace with a span that has the W3C sampled flag.
type traceFlags struct{}

func readTraceFlags(*mapping) rule { return traceFlags{} }

func (traceFlags) text() string { return "a span with the sampled flag" }

func (traceFlags) compile(c *compiler) gate {
	if c.flags == nil {
		c.flags = &spanBit{}
	}
	return c.flags
}
