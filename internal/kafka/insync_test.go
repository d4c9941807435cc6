package kafka

import (
	"cmp"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCreatedTopicsNeedTwoReplicasWhereThereAreThree(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		brokers int
		cluster string // the brokers' own setting
		change  func(*Config)
		want    string
	}{
		"one broker":              {brokers: 1, want: "1"},
		"two brokers":             {brokers: 2, want: "1"},
		"three brokers":           {brokers: 3, want: "2"},
		"three, one replica":      {brokers: 3, change: func(c *Config) { c.Spans.ReplicationFactor = 1 }, want: "1"},
		"three, given":            {brokers: 3, change: func(c *Config) { c.Spans.ReplicationFactor = 3 }, want: "2"},
		"a stricter cluster":      {brokers: 3, cluster: "3", want: "3"},
		"configured":              {brokers: 3, change: func(c *Config) { c.Spans.MinInsyncReplicas = 1 }, want: "1"},
		"configured, over theirs": {brokers: 3, cluster: "3", change: func(c *Config) { c.Spans.MinInsyncReplicas = 2 }, want: "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startBroker(t, EmbeddedOptions{Partitions: 2}, kfake.NumBrokers(tc.brokers),
				kfake.BrokerConfigs(map[string]string{"min.insync.replicas": cmp.Or(tc.cluster, "1")}))
			if tc.cluster != "" {
				tellDefaults(e, tc.cluster)
			}
			cfg := testConfig(e.Addr(), 2)
			if tc.change != nil {
				tc.change(&cfg)
			}
			c, said := connect(t, cfg)
			for _, topic := range []string{"thresher.spans", "thresher.checkpoints", "thresher.rejected"} {
				have, err := c.settings(testContext(t), topic)
				require.NoError(t, err)
				require.Equal(t, tc.want, have["min.insync.replicas"], topic)
			}
			require.Equal(t, 3, said.count("created topic"))
			require.Zero(t, said.count("only one replica"), said)
		})
	}
}

// tellDefaults makes up for what kfake does not answer to a creation that is only tried: the settings that are the brokers' own.
func tellDefaults(e *Embedded, insync string) {
	e.cluster.ControlKey(int16(kmsg.CreateTopics), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		req := kreq.(*kmsg.CreateTopicsRequest)
		if !req.ValidateOnly {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range req.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic.Topic, topic.NumPartitions, 3
			rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{{Name: "min.insync.replicas", Value: &insync}}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

func TestEnsureChecksMinInsyncReplicas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		brokers int
		topic   string // its setting
		want    int    // configured
		refused []string
		warned  bool
	}{
		"acknowledged by one of three": {brokers: 3, topic: "1", want: -1, warned: true},
		"meant to be so":               {brokers: 3, topic: "1", want: 1},
		"two of three":                 {brokers: 3, topic: "2", want: -1},
		"one of two":                   {brokers: 2, topic: "1", want: -1},
		"one of one":                   {brokers: 1, topic: "1", want: -1},
		"less than configured": {brokers: 3, topic: "1", want: 2, refused: []string{
			"topic thresher.spans has min.insync.replicas=1, but kafka.spans.min_insync_replicas is 2",
			"--entity-name thresher.spans --add-config min.insync.replicas=2"}},
		"more than configured": {brokers: 3, topic: "2", want: 1},
		"more than there are": {brokers: 2, topic: "3", want: -1, refused: []string{
			"topic thresher.spans has min.insync.replicas=3, but only 2 replicas, so Kafka refuses every write", "min.insync.replicas=1"}},
		"configured more than there are": {brokers: 1, topic: "1", want: 2, refused: []string{
			"topic thresher.spans has 1 replica, but kafka.spans.min_insync_replicas is 2", "write at most 1", "kafka-reassign-partitions.sh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startBroker(t, EmbeddedOptions{Partitions: 2}, kfake.NumBrokers(tc.brokers))
			require.NoError(t, e.cluster.CreateTopic("thresher.spans", 2, map[string]string{
				"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216", "min.insync.replicas": tc.topic}))
			cfg := testConfig(e.Addr(), 2)
			cfg.Spans.MinInsyncReplicas = tc.want
			log, said := logger()
			c, err := New(cfg, log)
			require.NoError(t, err)
			defer c.Close()
			err = c.Ensure(testContext(t))
			if tc.refused == nil {
				require.NoError(t, err)
			} else {
				require.True(t, IsFatal(err), "%v", err)
			}
			for _, w := range tc.refused {
				require.ErrorContains(t, err, w)
			}
			warned := said.count("Kafka acknowledges what only one replica has") == 1 &&
				said.count("--entity-name thresher.spans --add-config min.insync.replicas=2") == 1
			require.Equal(t, tc.warned, warned, said)
		})
	}
}

// While the brokers cannot say how many replicas they would make, nothing is made.
func TestEnsureWaitsForWhatATopicWouldBe(t *testing.T) {
	t.Parallel()
	e := startBroker(t, EmbeddedOptions{Partitions: 2}, kfake.NumBrokers(3))
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.RequestTimedOut, Count: 1})
	c, _ := connect(t, testConfig(e.Addr(), 2))
	have, err := c.settings(testContext(t), "thresher.spans")
	require.NoError(t, err)
	require.Equal(t, "2", have["min.insync.replicas"])
}
