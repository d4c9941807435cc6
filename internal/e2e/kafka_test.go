//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"thresher/internal/twin"
)

// kafka runs a command of the script on the cluster.
func kafka(t testing.TB, command string, args ...string) string {
	t.Helper()
	out, err := tryKafka(command, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryKafka(command string, args ...string) (string, error) {
	out, err := exec.Command(env.kafka, append([]string{command, env.kafkaDir}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kafka %s %v: %w\n%s", command, args, err, out)
	}
	return string(out), nil
}

func newAdmin(t testing.TB) *kadm.Client {
	t.Helper()
	bootstrap := readEnv(t, filepath.Join(env.kafkaDir, "env"))["KAFKA_BOOTSTRAP"]
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// freshNames returns topics and a group that nobody has, and removes what becomes of them.
func freshNames(t testing.TB) names {
	t.Helper()
	prefix := "e2e." + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name()) + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
	n := names{prefix + ".spans", prefix + ".checkpoints", prefix + ".rejected", prefix}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		admin := newAdmin(t)
		if _, err := admin.DeleteTopics(ctx, n.spans, n.checkpoints, n.rejected); err != nil {
			t.Logf("topics of the test remain: %v", err)
		}
	})
	return n
}

// logEnds asks Kafka where the partitions of a topic end.
func logEnds(ctx context.Context, admin *kadm.Client, topic string) (map[int32]int64, error) {
	listed, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, err
}

// readTopic returns the records that a topic holds now, by partition.
func readTopic(t testing.TB, topic string) map[int32][]*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	left, err := logEnds(ctx, newAdmin(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(left, func(_ int32, end int64) bool { return end == 0 })
	bootstrap := readEnv(t, filepath.Join(env.kafkaDir, "env"))["KAFKA_BOOTSTRAP"]
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	records := map[int32][]*kgo.Record{}
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("reading %s, %d partitions left: %v", topic, len(left), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Partition] = append(records[r.Partition], r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

// logged is a partition's log as the twin reads it.
func logged(records []*kgo.Record) []twin.Record {
	out := make([]twin.Record, len(records))
	for i, r := range records {
		out[i] = twin.Record{Offset: r.Offset, TimestampMs: r.Timestamp.UnixMilli(), Value: r.Value}
	}
	return out
}

// groupLag asks Kafka's own tool for the lag of a group in a topic, by partition. A partition without a commit is not in it.
func groupLag(t testing.TB, n names) (lag map[int]int, text string) {
	t.Helper()
	text = kafka(t, "groups", "--describe", "--group", n.group)
	lag = map[int]int{}
	var columns []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "GROUP" {
			columns = fields
			continue
		}
		row := map[string]string{}
		for i := range min(len(fields), len(columns)) {
			row[columns[i]] = fields[i]
		}
		if row["TOPIC"] != n.spans || row["LAG"] == "-" {
			continue
		}
		partition, err1 := strconv.Atoi(row["PARTITION"])
		behind, err2 := strconv.Atoi(row["LAG"])
		if err1 != nil || err2 != nil {
			t.Fatalf("cannot read this line of kafka-consumer-groups: %q", line)
		}
		lag[partition] = behind
	}
	return lag, text
}

// noLag waits until the tool shows lag 0 for every partition that has records.
func noLag(t testing.TB, n names, records map[int32][]*kgo.Record) {
	t.Helper()
	eventually(t, 30*time.Second, "kafka-consumer-groups to show no lag", func() error {
		lag, text := groupLag(t, n)
		for partition := range records {
			if behind, ok := lag[int(partition)]; !ok || behind != 0 {
				return fmt.Errorf("partition %d has lag %d (known: %v) in\n%s", partition, behind, ok, text)
			}
		}
		return nil
	})
}

// produce writes records to a partition as a stranger would.
func produce(t testing.TB, topic string, partition int32, values ...[]byte) {
	t.Helper()
	bootstrap := readEnv(t, filepath.Join(env.kafkaDir, "env"))["KAFKA_BOOTSTRAP"]
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: v})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := c.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
