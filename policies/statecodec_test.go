package policies

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStateDecoder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		u, v, f := rnd.Uint64()>>rnd.IntN(64), int64(rnd.Uint64())>>rnd.IntN(64), math.Abs(rnd.NormFloat64())
		b := binary.AppendVarint(binary.AppendUvarint([]byte{7}, u), v)
		b = append(appendFloat(b, f), "abc"...)
		for cut := range len(b) {
			d := stateDecoder{b: b[:cut]}
			d.byte()
			d.uvarint()
			d.varint()
			d.float()
			d.take(3)
			require.True(t, d.bad)
			require.Zero(t, d.uint64())
			require.Zero(t, d.count(1))
		}
		d := stateDecoder{b: b}
		require.Equal(t, byte(7), d.byte())
		require.Equal(t, u, d.uvarint())
		require.Equal(t, v, d.varint())
		require.Equal(t, f, d.float())
		require.Equal(t, "abc", string(d.take(3)))
		require.False(t, d.bad)
		require.Empty(t, d.b)
	}
}

func TestStateDecoderRefuses(t *testing.T) {
	float := func(v float64) string { return string(appendFloat(nil, v)) }
	for name, c := range map[string]struct {
		b    string
		read func(d *stateDecoder)
	}{
		"long varint":  {"\x81\x00", func(d *stateDecoder) { d.uvarint() }},
		"overflow":     {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", func(d *stateDecoder) { d.uvarint() }},
		"not a number": {float(math.NaN()), func(d *stateDecoder) { d.float() }},
		"infinite":     {float(math.Inf(1)), func(d *stateDecoder) { d.float() }},
		"negative":     {float(-1), func(d *stateDecoder) { d.float() }},
		"negative 0":   {float(math.Copysign(0, -1)), func(d *stateDecoder) { d.float() }},
		"too many":     {"\x03abcde", func(d *stateDecoder) { d.count(2) }},
		"take less":    {"abc", func(d *stateDecoder) { d.take(-1) }},
	} {
		d := stateDecoder{b: []byte(c.b)}
		c.read(&d)
		require.True(t, d.bad, name)
		require.Empty(t, d.b, name)
	}
	d := stateDecoder{b: []byte("\x02abcd")}
	require.Equal(t, 2, d.count(2))
}
