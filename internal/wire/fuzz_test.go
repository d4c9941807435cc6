package wire

import "testing"

func addSeeds(f *testing.F, s shape) {
	req := marshal(f, sampleTraces(3, 2, 1, 2))
	for _, b := range [][]byte{req, forward(f, req, shapeTracesData)} {
		if s == shapeTracesData {
			f.Add(b)
			continue
		}
		var r recorder
		if err := Walk(b, &Scratch{}, &r); err != nil {
			f.Fatal(err)
		}
		f.Add(r.spans[0])
	}
	for seed := range uint64(8) {
		f.Add(newGenerator(seed, true).message(s, 6))
	}
}

// FuzzSpan compares all readers of a span with pdata on arbitrary bytes.
func FuzzSpan(f *testing.F) {
	addSeeds(f, shapeSpan)
	f.Fuzz(func(t *testing.T, raw []byte) { checkOneSpan(t, raw) })
}

// FuzzRequest compares walking, validating, splitting and assembling a request with pdata on arbitrary bytes.
func FuzzRequest(f *testing.F) {
	addSeeds(f, shapeTracesData)
	f.Fuzz(func(t *testing.T, req []byte) {
		checkWholeRequest(t, req)
		checkSplit(t, req, SplitOptions{Partitions: 5, Deep: true})
		checkSplit(t, req, SplitOptions{Partitions: 3, MaxFragment: 300})
	})
}

// FuzzGenerated does the same on messages that are mostly well formed, so that it gets deeper than mutations of bytes.
func FuzzGenerated(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, seed uint64, mutate bool) { checkGenerated(t, seed, mutate) })
}

func checkGenerated(t *testing.T, seed uint64, mutate bool) {
	t.Helper()
	g := newGenerator(seed, mutate)
	checkOneSpan(t, g.message(shapeSpan, 5))
	req := g.message(shapeTracesData, 8)
	checkWholeRequest(t, req)
	checkSplit(t, req, SplitOptions{Partitions: 1 + g.IntN(8), MaxFragment: 100 + g.IntN(4000), Deep: g.one(2)})
}

func TestGenerated(t *testing.T) {
	for seed := range uint64(3000) {
		checkGenerated(t, seed, seed%2 == 0)
		if t.Failed() {
			t.Fatalf("seed %d; reproduce with checkGenerated(t, %d, %v)", seed, seed, seed%2 == 0)
		}
	}
}
