package policies

// dropRule drops a trace that all policies within pass, whatever other policies say.
type dropRule struct{ within []Policy }

func readDrop(m *mapping) rule { return &dropRule{readWithin(m, "drop_sub_policy")} }

func (r *dropRule) text() string  { return "drop if all of these" }
func (r *dropRule) sub() []Policy { return r.within }

func (r *dropRule) compile(c *compiler) gate {
	defer c.enter(scope{open: true, drops: true})()
	return allOf(r.within, c)
}
