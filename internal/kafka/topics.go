package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// checkpointMaxBytes bounds one checkpoint, as the topic's max.message.bytes.
const checkpointMaxBytes = 8 << 20

// A topicSpec is how a topic is created, and what it must be if somebody else created it.
type topicSpec struct {
	name       string
	key        string // of the configuration
	partitions int32
	exactly    bool // that many partitions, or at least one
	settings   map[string]*string
	checks     []func(have map[string]string) *mismatch
}

// A mismatch is a setting that Thresher cannot work with.
type mismatch struct {
	setting string
	needs   string // "it must be ..."
	want    string // the value for kafka-configs.sh
}

func (c *Client) topicSpecs() []topicSpec {
	s := &c.cfg.Spans
	timestamps := "LogAppendTime"
	if s.AllowCreateTime {
		timestamps = "" // the cluster's own default
	}
	return []topicSpec{{
		name: s.Topic, key: "kafka.spans", partitions: int32(s.Partitions), exactly: true,
		settings: settings(
			"message.timestamp.type", timestamps,
			"cleanup.policy", "delete",
			"retention.ms", strconv.FormatInt(s.Retention.Milliseconds(), 10),
			"max.message.bytes", strconv.Itoa(s.MaxRecordBytes),
		),
		checks: []func(map[string]string) *mismatch{
			c.checkTimestamps,
			isPolicy("delete", "compaction would delete spans"),
			atLeast("max.message.bytes", s.MaxRecordBytes, "records may be as large as kafka.spans.max_record_bytes"),
		},
	}, {
		name: c.cfg.Checkpoints.Topic, key: "kafka.checkpoints", partitions: int32(s.Partitions), exactly: true,
		settings: settings(
			"cleanup.policy", "compact",
			"max.message.bytes", strconv.Itoa(checkpointMaxBytes),
			// Only the newest checkpoint of a partition is of use: compact early and often.
			"min.cleanable.dirty.ratio", "0.1",
			"segment.ms", "600000",
			"segment.bytes", strconv.Itoa(64<<20),
		),
		checks: []func(map[string]string) *mismatch{
			isPolicy("compact", "the newest checkpoint of each partition must stay"),
			atLeast("max.message.bytes", checkpointMaxBytes, "a checkpoint of many open traces is large"),
		},
	}, {
		name: c.cfg.Rejected.Topic, key: "kafka.rejected", partitions: 1,
		settings: settings(
			"cleanup.policy", "delete",
			"retention.ms", strconv.FormatInt(s.Retention.Milliseconds(), 10),
			"max.message.bytes", strconv.Itoa(s.MaxRecordBytes),
		),
		checks: []func(map[string]string) *mismatch{
			isPolicy("delete", "rejected records have no keys"),
		},
	}}
}

// settings makes the map of what has a value.
func settings(kv ...string) map[string]*string {
	m := make(map[string]*string)
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] != "" {
			m[kv[i]] = &kv[i+1]
		}
	}
	return m
}

func (c *Client) checkTimestamps(have map[string]string) *mismatch {
	if have["message.timestamp.type"] == "LogAppendTime" || c.cfg.Spans.AllowCreateTime {
		return nil
	}
	return &mismatch{
		setting: "message.timestamp.type",
		needs: "it must be LogAppendTime: decisions follow the time of the log, and producers' clocks differ " +
			"(if other producers' timestamps are to be trusted, set kafka.spans.allow_create_time: true instead)",
		want: "LogAppendTime",
	}
}

func isPolicy(want, because string) func(map[string]string) *mismatch {
	return func(have map[string]string) *mismatch {
		if have["cleanup.policy"] == want {
			return nil
		}
		return &mismatch{"cleanup.policy", "it must be " + want + ": " + because, want}
	}
}

func atLeast(setting string, want int, because string) func(map[string]string) *mismatch {
	return func(have map[string]string) *mismatch {
		n, err := strconv.Atoi(have[setting])
		if err != nil || n >= want { // a broker that does not tell, tells when it refuses
			return nil
		}
		return &mismatch{setting, fmt.Sprintf("it must be at least %d: %s", want, because), strconv.Itoa(want)}
	}
}

// checkPartitions says what to do about a wrong number of partitions. There is no harmless command: a trace's partition
// depends on the number.
func (c *Client) checkPartitions(s topicSpec, have int) error {
	want := int(s.partitions)
	if have == want || !s.exactly && have > 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic %s has %d partitions, but ", s.name, have)
	switch s.name {
	case c.cfg.Spans.Topic:
		fmt.Fprintf(&b, "kafka.spans.partitions is %d; set kafka.spans.partitions: %d, or, while nothing runs and what it holds may be split across partitions: ", want, have)
	default:
		fmt.Fprintf(&b, "it must have %d, as %s does; while nothing runs: ", want, c.cfg.Spans.Topic)
	}
	if have < want {
		fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --alter --topic %s --partitions %d", c.cfg.Brokers[0], s.name, want)
	} else {
		fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --delete --topic %s (Thresher creates it again; what it holds is lost)", c.cfg.Brokers[0], s.name)
	}
	return fatalf("%s", b.String())
}

func (c *Client) alterCommand(topic, setting, value string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s",
		c.cfg.Brokers[0], topic, setting, value)
}

func (c *Client) createCommand(s topicSpec, set map[string]*string) string {
	cmd := fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d", c.cfg.Brokers[0], s.name, s.partitions)
	if rf := c.cfg.Spans.ReplicationFactor; rf > 0 {
		cmd += fmt.Sprintf(" --replication-factor %d", rf)
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		cmd += fmt.Sprintf(" --config %s=%s", k, *set[k])
	}
	return cmd
}
