//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// replicated lets a test use a Kafka of three brokers of its own, with three replicas of everything, instead of the one of all tests.
func replicated(t *testing.T) {
	t.Helper()
	shared := env.kafkaDir
	dir, err := os.MkdirTemp("", "thresher-kafka-3-")
	if err != nil {
		t.Fatal(err)
	}
	env.kafkaDir = dir
	t.Setenv("KAFKA_HEAP", "384m")
	t.Cleanup(func() {
		if _, err := tryKafka("kill"); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
		env.kafkaDir = shared
	})
	kafka(t, "start", "3")
}

// settledAfter waits until a node that recovers from something has settled all, and tells how long that took.
func (n *node) settledAfter(t *testing.T, mended time.Time, within time.Duration) {
	t.Helper()
	n.ready()
	n.settled(within)
	t.Logf("everything was settled %v after all was mended", time.Since(mended).Round(time.Second))
}

// A replica that is slow, or stopped for a while, keeps records from becoming visible for seconds after they were stamped. Whoever
// took the end of what is visible for the end of what was stamped would decide too early.
func TestSlowReplicas(t *testing.T) {
	replicated(t)
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	var pauses sync.WaitGroup
	next := 1
	from.load(t, traffic(11, 6_000), 150_000, func(sent int) {
		if sent < next*30_000 || next > 4 {
			return
		}
		broker := strconv.Itoa(1 + next%3)
		next++
		pauses.Go(func() {
			if _, err := tryKafka("pause", broker); err != nil {
				t.Error(err)
			}
			waitUntil(time.Now().Add(3 * time.Second))
			if _, err := tryKafka("resume", broker); err != nil {
				t.Error(err)
			}
		})
	})
	pauses.Wait()
	if next < 4 {
		t.Fatal("the load ended before the last pause")
	}
	node.settledAfter(t, time.Now(), time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
}

// The clocks of brokers are wrong, leadership moves between them, the node is killed; then they are mended. Decisions go on within
// a minute, and are what whoever reads the log again decides.
func TestWrongClocksOfBrokers(t *testing.T) {
	replicated(t)
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	clock := func(broker int, wrong time.Duration) func() error {
		return func() error {
			_, err := tryKafka("clock", strconv.Itoa(broker), strconv.FormatInt(wrong.Milliseconds(), 10))
			return err
		}
	}
	again := func() error {
		node.kill()
		node.start()
		return nil
	}
	// Each broker leads some of the partitions. A pause longer than its session makes the others lead them.
	paused := func(broker int) func() error {
		return func() error {
			if _, err := tryKafka("pause", strconv.Itoa(broker)); err != nil {
				return err
			}
			waitUntil(time.Now().Add(8 * time.Second))
			_, err := tryKafka("resume", strconv.Itoa(broker))
			return err
		}
	}
	faults := []func() error{
		clock(1, time.Hour), clock(2, -time.Hour), again, clock(3, 3*time.Hour), clock(1, 30*time.Second), paused(2),
		clock(2, 2*time.Hour), again, clock(1, 0), clock(2, 0), clock(3, 0),
	}
	steps, done := make(chan func() error, len(faults)), make(chan struct{})
	go func() {
		defer close(done)
		for fault := range steps {
			if err := fault(); err != nil {
				t.Error(err)
			}
		}
	}()
	total, next := 160_000, 0
	from.load(t, traffic(12, 5_000), total, func(sent int) {
		for next < len(faults) && sent >= (next+1)*total/(len(faults)+2) {
			steps <- faults[next]
			next++
		}
	})
	close(steps)
	<-done
	if next < len(faults) {
		t.Fatalf("the load ended before %d of the faults", len(faults)-next)
	}
	mended := time.Now()
	node.settledAfter(t, mended, time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
	_, text, err := node.get("/metrics")
	if err != nil || strings.Contains(text, `thresher_time_jumps_total{direction="back"} 0`) {
		t.Errorf("no jump of time was counted, so the clocks were not wrong: %v\n%s", err, text)
	}
}
