package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// minInsync is the setting without which "all in-sync replicas have it" may mean the leader alone: replicas that fall behind
// are not in sync, so with 1, Kafka's default, what only one disk has is acknowledged, and is lost with that disk. With 2 such
// a write fails and is tried again.
const minInsync = "min.insync.replicas"

const (
	safeInsync   = 2 // replicas that outlive one disk
	safeReplicas = 3 // from this on a topic with safeInsync is written on while a broker is down
)

// withInsync returns the settings for a topic that is to be made. Where kafka.spans.min_insync_replicas is not given and the
// number of replicas is the brokers' own, they are asked what they would make, by a creation that is only tried: to change the
// setting afterwards would need one more permission. It needs no other than the creation itself.
func (c *Client) withInsync(ctx context.Context, s topicSpec) (map[string]*string, error) {
	set := maps.Clone(s.settings)
	put := func(n int) { value := strconv.Itoa(n); set[minInsync] = &value }
	if n := c.cfg.Spans.MinInsyncReplicas; n > 0 {
		put(n)
		return set, nil
	}
	resps, err := c.adm.ValidateCreateTopics(ctx, s.partitions, int16(c.cfg.Spans.ReplicationFactor), s.settings, s.name)
	if err != nil {
		return nil, err
	}
	resp, err := resps.On(s.name, func(r *kadm.CreateTopicResponse) error { return r.Err })
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists): // by another node, just now
		return set, nil
	case err != nil:
		if c.cfg.Spans.ReplicationFactor >= safeReplicas {
			put(safeInsync) // for the command that the message gives
		}
		return nil, c.notCreated(s, set, resp.ErrMessage, err)
	}
	theirs := resp.Configs[minInsync]
	own, _ := strconv.Atoi(theirs.MaybeValue())
	// A cluster whose own default is stricter keeps it.
	if resp.ReplicationFactor >= safeReplicas && own < safeInsync {
		put(safeInsync)
	}
	return set, nil
}

// checkInsync compares the setting of a topic with its replicas and with what is configured. What only weakens the promise
// and was not asked for otherwise is warned of: the topic may have been so for years.
func (c *Client) checkInsync(s topicSpec, replicas int, have map[string]string) error {
	least, _ := strconv.Atoi(have[minInsync])
	if least < 1 || replicas == 0 { // a broker that does not tell, tells when it refuses
		return nil
	}
	want := c.cfg.Spans.MinInsyncReplicas
	switch {
	case want > replicas:
		return fmt.Errorf("topic %s has %s, but kafka.spans.min_insync_replicas is %d, so Kafka would refuse every write; "+
			"write at most %d, or give the topic more replicas with kafka-reassign-partitions.sh", s.name, counted(replicas, "replica"), want, replicas)
	case least > replicas:
		return fmt.Errorf("topic %s has %s=%d, but only %s, so Kafka refuses every write; mend it with: %s",
			s.name, minInsync, least, counted(replicas, "replica"), c.alterCommand(s.name, minInsync, strconv.Itoa(max(1, min(safeInsync, replicas-1)))))
	case want > least:
		return fmt.Errorf("topic %s has %s=%d, but kafka.spans.min_insync_replicas is %d; mend it with: %s",
			s.name, minInsync, least, want, c.alterCommand(s.name, minInsync, strconv.Itoa(want)))
	case want < 0 && least < safeInsync && replicas >= safeReplicas:
		c.log.Warn("Kafka acknowledges what only one replica has, which is lost with that broker's disk; mend it, or say that it is meant to be so with "+
			"kafka.spans.min_insync_replicas", "topic", s.name, "replicas", replicas, minInsync, least,
			"mend", c.alterCommand(s.name, minInsync, strconv.Itoa(safeInsync)))
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
