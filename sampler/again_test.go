package sampler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// readAgain does for a spilled delivery what a runner does: it hands out parts as they come, and at last acknowledges the delivery itself,
// which leaves one acknowledgement for each part.
func readAgain(t testing.TB, m *Machine, d *Delivery, largest int, log []logRecord) (payloads [][]byte) {
	g := NewGathering(d, largest)
	out := func(parts []Part) {
		for _, p := range parts {
			m.Parts(d.Seq, 1)
			payloads = append(payloads, p.Payload)
		}
	}
	for _, o := range d.Offsets {
		parts, err := g.Add(log[o].value)
		require.NoError(t, err)
		out(parts)
	}
	last, whole := g.End()
	require.True(t, whole)
	out(last)
	m.Ack(d.Seq)
	return payloads
}
