package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEnsureCreatesTopicsOnce(t *testing.T) {
	t.Parallel()
	e, c, said := setup(t, 3, nil)
	require.Equal(t, 3, said.count("created topic"))
	require.True(t, c.Connected())
	d, err := c.describe(testContext(t), "thresher.checkpoints")
	require.NoError(t, err)
	require.Len(t, d.leaders, 3)
	have, err := c.settings(testContext(t), "thresher.spans")
	require.NoError(t, err)
	require.Equal(t, "LogAppendTime", have["message.timestamp.type"])
	require.Equal(t, "86400000", have["retention.ms"])
	require.Equal(t, "16777216", have["max.message.bytes"])

	_, said = connect(t, testConfig(e.Addr(), 3))
	require.Zero(t, said.count("created topic"))
	require.Zero(t, said.count("waiting"))
}

func TestEnsureRefusesWrongTopics(t *testing.T) {
	t.Parallel()
	good := map[string]string{"max.message.bytes": "16777216"}
	with := func(kv ...string) map[string]string {
		m := map[string]string{"max.message.bytes": "16777216"}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	type topic struct {
		name       string
		partitions int32
		configs    map[string]string
	}
	for name, tc := range map[string]struct {
		topics []topic
		change func(*Config)
		want   []string // nil: accepted
	}{
		"fewer partitions": {topics: []topic{{"thresher.spans", 2, good}}, want: []string{
			"topic thresher.spans has 2 partitions, but kafka.spans.partitions is 3", "set kafka.spans.partitions: 2", "--alter --topic thresher.spans --partitions 3"}},
		"more partitions": {topics: []topic{{"thresher.spans", 4, good}}, want: []string{
			"topic thresher.spans has 4 partitions", "--delete --topic thresher.spans"}},
		"create time": {topics: []topic{{"thresher.spans", 3, with("message.timestamp.type", "CreateTime")}}, want: []string{
			"topic thresher.spans has message.timestamp.type=CreateTime, but it must be LogAppendTime", "allow_create_time",
			"--entity-name thresher.spans --add-config message.timestamp.type=LogAppendTime"}},
		"create time allowed": {topics: []topic{{"thresher.spans", 3, with("message.timestamp.type", "CreateTime")}},
			change: func(c *Config) { c.Spans.AllowCreateTime = true }},
		"compacted spans": {topics: []topic{{"thresher.spans", 3, with("cleanup.policy", "compact")}}, want: []string{
			"thresher.spans has cleanup.policy=compact, but it must be delete"}},
		"small records": {topics: []topic{{"thresher.spans", 3, with("max.message.bytes", "1000")}}, want: []string{
			"thresher.spans has max.message.bytes=1000, but it must be at least 16777216", "--add-config max.message.bytes=16777216"}},
		"checkpoints": {topics: []topic{{"thresher.checkpoints", 5, good}}, want: []string{
			"topic thresher.checkpoints has 5 partitions, but it must have 3, as thresher.spans does",
			"thresher.checkpoints has cleanup.policy=delete, but it must be compact"}},
		"several": {topics: []topic{{"thresher.spans", 1, good}, {"thresher.rejected", 9, with("cleanup.policy", "compact")}}, want: []string{
			"thresher.spans has 1 partitions", "thresher.rejected has cleanup.policy=compact"}},
		"rejected may have any number": {topics: []topic{{"thresher.rejected", 9, good}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startBroker(t, EmbeddedOptions{Partitions: 3})
			for _, tp := range tc.topics {
				require.NoError(t, e.cluster.CreateTopic(tp.name, tp.partitions, tp.configs))
			}
			cfg := testConfig(e.Addr(), 3)
			if tc.change != nil {
				tc.change(&cfg)
			}
			log, _ := logger()
			c, err := New(cfg, log)
			require.NoError(t, err)
			defer c.Close()
			err = c.Ensure(testContext(t))
			if tc.want == nil {
				require.NoError(t, err)
				return
			}
			require.True(t, IsFatal(err), "%v", err)
			require.False(t, c.Connected())
			for _, w := range tc.want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestEnsureWaitsForKafka(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	log, said := logger()
	c, err := New(testConfig(hostPort(port), 2), log)
	require.NoError(t, err)
	defer c.Close()
	result := make(chan error, 1)
	go func() { result <- c.Ensure(testContext(t)) }()
	require.Eventually(t, func() bool { return said.count("waiting for Kafka") == 1 }, soon, time.Millisecond)
	require.False(t, c.Connected())
	require.Contains(t, c.Stats().Problem, "refused")
	startBroker(t, EmbeddedOptions{Partitions: 2, Port: port})
	require.NoError(t, <-result)
	require.Equal(t, 1, said.count("waiting for Kafka"), said)
	require.Equal(t, 1, said.count("Kafka is there"))
	require.True(t, c.Connected())
}

func TestEnsureEndsWithItsContext(t *testing.T) {
	t.Parallel()
	log, _ := logger()
	c, err := New(testConfig(hostPort(freePort(t)), 2), log)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err = c.Ensure(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, IsFatal(err))
}

func TestEnsureTellsPassingFromLastingErrors(t *testing.T) {
	t.Parallel()
	e := startBroker(t, EmbeddedOptions{Partitions: 2})
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidReplicationFactor, Count: 3})
	connect(t, testConfig(e.Addr(), 2)) // a cluster that is still starting

	e = startBroker(t, EmbeddedOptions{Partitions: 2})
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	log, _ := logger()
	c, err := New(testConfig(e.Addr(), 2), log)
	require.NoError(t, err)
	defer c.Close()
	err = c.Ensure(testContext(t))
	require.True(t, IsFatal(err))
	require.ErrorContains(t, err, "kafka-topics.sh")
	require.ErrorContains(t, err, "--create --topic thresher.spans --partitions 2 --config cleanup.policy=delete")
}

func TestConnectedFollowsTheBroker(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	e := startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 2, Port: port})
	c, said := connect(t, testConfig(e.Addr(), 2))
	e.Close()
	require.Eventually(t, func() bool { return !c.Connected() }, soon, 5*time.Millisecond)
	require.Eventually(t, func() bool { return said.count("Kafka is not usable") == 1 }, soon, 5*time.Millisecond)
	startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 2, Port: port})
	require.Eventually(t, c.Connected, soon, 5*time.Millisecond)
	require.Eventually(t, func() bool { return said.count("Kafka is usable again") == 1 }, soon, 5*time.Millisecond)
}
