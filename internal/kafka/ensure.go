package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	waitLogAfter = 300 * time.Millisecond // a broker that answers within this is not worth a line
	waitLogEvery = 10 * time.Second
	freshTopic   = 5 * time.Second // within this a topic that is not known may have just been made
)

// Ensure waits until Kafka can be used, creates the topics that are missing and verifies those that are there. It
// returns nil, a *[FatalError] that says what is wrong and how to mend it, or the context's error. While it waits it
// says so, at once and then every ten seconds.
func (c *Client) Ensure(ctx context.Context) error {
	var (
		began  = time.Now()
		said   = seldom{every: waitLogEvery}
		waited bool
	)
	for try := 1; ; try++ {
		err := c.ensureTopics(ctx)
		switch {
		case err == nil:
			if waited {
				c.log.Info("Kafka is there", "brokers", c.cfg.Brokers, "after", time.Since(began).Round(time.Millisecond))
			}
			c.startWatching()
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("gave up waiting for Kafka at %s: %w", strings.Join(c.cfg.Brokers, ","), ctx.Err())
		case c.ctx.Err() != nil:
			return fmt.Errorf("kafka client: %w", ErrClosed)
		case IsFatal(err):
			return c.explain(err)
		}
		c.setProblem(err.Error())
		// A topic that was made a moment ago is not known to every broker yet. That is no news.
		fresh := errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(began) < freshTopic
		if time.Since(began) >= waitLogAfter && !fresh && said.now() {
			waited = true
			c.log.Warn("waiting for Kafka", "brokers", c.cfg.Brokers,
				"for", time.Since(began).Round(time.Millisecond), "error", err)
		}
		select {
		case <-time.After(backoff(try)):
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
	}
}

// explain adds what the person who reads it can do.
func (c *Client) explain(err error) error {
	if fe, ok := errors.AsType[*FatalError](err); ok {
		return fe
	}
	hint := "check kafka.brokers and kafka.tls"
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		hint = "the brokers refuse this user and password; check kafka.sasl"
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		hint = "the brokers do not offer this mechanism; check kafka.sasl.mechanism and the listener's port"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = fmt.Sprintf("Thresher's user needs the operations Create, Describe, DescribeConfigs, Read and Write on topics %s, %s and %s, and Read on group %s; or create the topics yourself and grant the rest",
			c.cfg.Spans.Topic, c.cfg.Checkpoints.Topic, c.cfg.Rejected.Topic, c.cfg.Group)
	case errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidConfig):
		hint = "the cluster refuses the topic's settings; create the topic yourself with settings that it allows"
	case errors.Is(err, kerr.UnsupportedVersion):
		hint = "the brokers are too old; Apache Kafka 2.4 or newer is needed"
	}
	return fatalf("kafka at %s: %w; %s", strings.Join(c.cfg.Brokers, ","), err, hint)
}

func (c *Client) ensureTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*c.cfg.RequestTimeout)
	defer cancel()
	specs := c.topicSpecs()
	for _, s := range specs {
		if err := c.ensureTopic(ctx, s); err != nil {
			return err
		}
	}
	var wrong []error
	for _, s := range specs {
		err := c.verifyTopic(ctx, s)
		if err != nil && !IsFatal(err) {
			return err
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return &FatalError{errors.Join(wrong...)}
	}
	return nil
}

// ensureTopic creates the topic if it is not there.
func (c *Client) ensureTopic(ctx context.Context, s topicSpec) error {
	_, err := c.describe(ctx, s.name)
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	set, err := c.withInsync(ctx, s)
	if err != nil {
		return err
	}
	resp, err := c.adm.CreateTopic(ctx, s.partitions, int16(c.cfg.Spans.ReplicationFactor), set, s.name)
	switch {
	case err == nil:
		c.log.Info("created topic", "topic", s.name, "partitions", s.partitions)
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists): // by another node, just now
		return nil
	}
	return c.notCreated(s, set, resp.ErrMessage, err)
}

// notCreated says why a topic could not be made, and what to do if waiting does not help.
func (c *Client) notCreated(s topicSpec, set map[string]*string, detail string, err error) error {
	if detail == "" {
		detail = "no details given"
	}
	// Too few brokers for the replication factor is a cluster that is still starting, as far as we can know.
	err = fmt.Errorf("creating topic %s (%s): %w", s.name, detail, err)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return fatalf("%w; grant Create, or create it: %s", err, c.createCommand(s, set))
	}
	return err
}

// verifyTopic compares what is there with what is needed. All differences of a topic are in one *FatalError.
func (c *Client) verifyTopic(ctx context.Context, s topicSpec) error {
	d, err := c.describe(ctx, s.name)
	if err != nil {
		return err
	}
	if n := d.leaderless(); n > 0 {
		return fmt.Errorf("topic %s: %d of %d partitions have no leader", s.name, n, len(d.leaders))
	}
	if s.name == c.cfg.Spans.Topic {
		c.setSpansID(d.id)
	}
	have, err := c.settings(ctx, s.name)
	if err != nil {
		return err
	}
	var wrong []error
	if err := c.checkPartitions(s, len(d.leaders)); err != nil {
		wrong = append(wrong, err)
	}
	if err := c.checkInsync(s, d.replicas, have); err != nil {
		wrong = append(wrong, err)
	}
	for _, check := range s.checks {
		if p := check(have); p != nil {
			wrong = append(wrong, fmt.Errorf("topic %s has %s=%s, but %s; mend it with: %s",
				s.name, p.setting, have[p.setting], p.needs, c.alterCommand(s.name, p.setting, p.want)))
		}
	}
	if len(wrong) > 0 {
		return &FatalError{errors.Join(wrong...)}
	}
	if want, got := s.settings["retention.ms"], have["retention.ms"]; want != nil && *want != got {
		c.log.Warn("the topic's retention is not the configured one; it stays as it is", "topic", s.name,
			"retention.ms", got, "configured", *want)
	}
	return nil
}

func (c *Client) settings(ctx context.Context, topic string) (map[string]string, error) {
	rcs, err := c.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topic %s: %w", topic, err)
	}
	rc, err := rcs.On(topic, func(*kadm.ResourceConfig) error { return nil })
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topic %s: %w", topic, err)
	}
	have := make(map[string]string, len(rc.Configs))
	for _, cf := range rc.Configs {
		have[cf.Key] = cf.MaybeValue()
	}
	return have, nil
}
