package kafka

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Whatever times and whichever codec a client sends, all records of a batch have the time at which they were appended.
func TestEmbeddedStampsRecords(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 5, nil)
	for i, name := range compressions {
		kc, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.DefaultProduceTopic("thresher.spans"),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec(name)), kgo.ProducerLinger(50*time.Millisecond))
		require.NoError(t, err)
		before := time.Now().UnixMilli()
		var recs []*kgo.Record
		for j := range 50 {
			recs = append(recs, &kgo.Record{
				Partition: int32(i), Value: bytes.Repeat([]byte{byte(j)}, 300), Key: []byte("k"),
				Headers:   []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
				Timestamp: time.Date(1990+j, 1, 1, 0, 0, 0, 0, time.UTC),
			})
		}
		require.NoError(t, kc.ProduceSync(testContext(t), recs...).FirstErr())
		kc.Close()
		after := time.Now().UnixMilli()
		var n int
		var stamp int64
		require.NoError(t, c.ReadRange(testContext(t), int32(i), 0, 100, func(r Record) error {
			require.Equal(t, recs[n].Value, r.Value, name)
			require.Equal(t, []Header{{"h", []byte("v")}}, r.Headers)
			require.GreaterOrEqual(t, r.Timestamp, before, name)
			require.LessOrEqual(t, r.Timestamp, after, name)
			stamp = r.Timestamp
			n++
			return nil
		}))
		require.Equal(t, 50, n, name)
		at, err := c.OffsetForTime(testContext(t), int32(i), stamp)
		require.NoError(t, err)
		require.Zero(t, at, name)
		at, err = c.OffsetForTime(testContext(t), int32(i), stamp+1)
		require.NoError(t, err)
		require.EqualValues(t, 50, at, name)
	}
}

func TestStampRefusesWhatItCannotRead(t *testing.T) {
	s := newStamper()
	for _, b := range [][]byte{nil, {1}, make([]byte, 61), bytes.Repeat([]byte{0xff}, 200)} {
		_, err := s.batch(b, 1)
		require.Error(t, err)
	}
}

func TestEmbeddedBoundsItsDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const keep = 4 << 20
	e := startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 2, RetentionBytes: keep})
	cfg := testConfig(e.Addr(), 2)
	cfg.Compression = "none"
	c, _ := connect(t, cfg)
	p := startProducer(t, c)
	random := make([]byte, 32<<10)
	src := rand.NewChaCha8([32]byte{})
	for range 1000 { // 32 MB
		_, _ = src.Read(random)
		produce(t, p, int32(src.Uint64()%2), string(random))
	}
	k := c.Checkpoints()
	for range 300 {
		require.NoError(t, save(t, k, 0, 1, random))
	}
	large := make([]byte, 3<<20) // more than is kept of a partition of spans
	_, _ = src.Read(large)
	require.NoError(t, save(t, k, 1, 1, large))
	size := func() (n int64) {
		require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, _ error) error {
			if d == nil || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil { // else the segment was removed meanwhile
				n += info.Size()
			}
			return nil
		}))
		return n
	}
	require.Eventually(t, func() bool { return size() < keep*3/2+3<<20 }, soon, 20*time.Millisecond)
	start, err := c.StartOffset(testContext(t), 0)
	require.NoError(t, err)
	require.NotZero(t, start)
	got, err := k.Load(testContext(t), 0)
	require.NoError(t, err)
	require.Equal(t, random, got.Data)
	got, err = k.Load(testContext(t), 1)
	require.NoError(t, err)
	require.Equal(t, large, got.Data)
}

func TestEmbeddedKeepsADirectoryThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, err := StartEmbedded(EmbeddedOptions{Dir: dir, Partitions: 1})
	require.NoError(t, err)
	c, _ := connect(t, testConfig(e.Addr(), 1))
	produce(t, startProducer(t, c), 0, "kept")
	require.NoError(t, c.Checkpoints().Commit(testContext(t), map[int32]Committed{0: {Offset: 1}}))
	e.Close()
	e.Close()
	e = startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1})
	c, _ = connect(t, testConfig(e.Addr(), 1))
	_, all := contents(t, c, 0)
	require.Equal(t, "kept", all)
	got, err := c.Checkpoints().Committed(testContext(t))
	require.NoError(t, err)
	require.EqualValues(t, 1, got[0].Offset)
}

func TestEmbeddedRemovesItsOwnDirectory(t *testing.T) {
	t.Parallel()
	e, err := StartEmbedded(EmbeddedOptions{})
	require.NoError(t, err)
	require.DirExists(t, e.dir)
	e.Close()
	require.NoDirExists(t, e.dir)
}

func TestEmbeddedPortTaken(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	startBroker(t, EmbeddedOptions{Partitions: 1, Port: port})
	_, err := StartEmbedded(EmbeddedOptions{Partitions: 1, Port: port})
	require.ErrorContains(t, err, "address already in use")
}

// A batch that does not decode is tried again, then skipped, loudly.
func TestDamagedBatchIsSkipped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1})
	cfg := testConfig(e.Addr(), 1)
	cfg.Compression = "none"
	c, said := connect(t, cfg)
	p := startProducer(t, c)
	produce(t, p, 0, "good-0")
	produce(t, p, 0, "DAMAGED")
	produce(t, p, 0, "good-2")
	var damaged bool
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "thresher.spans") {
			return err
		}
		b, err := os.ReadFile(path)
		if i := bytes.Index(b, []byte("DAMAGED")); err == nil && i >= 0 {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("x"), int64(i))
			require.NoError(t, err)
			require.NoError(t, f.Close())
			damaged = true
		}
		return err
	}))
	require.True(t, damaged)
	r, err := c.NewReader()
	require.NoError(t, err)
	r.patience = 2
	run(t, r)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	values, _ := collect(t, f, 1)
	require.Equal(t, []string{"good-0"}, values)
	g := next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 1, g.From)
	require.EqualValues(t, 2, g.To)
	require.ErrorContains(t, g.Cause, "this batch cannot be read")
	values, _ = collect(t, f, 1)
	require.Equal(t, []string{"good-2"}, values)
	require.NotZero(t, said.count("is interrupted"))
}
