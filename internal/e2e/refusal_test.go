//go:build e2e

package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// createTopic makes a topic as an administrator would.
func createTopic(t testing.TB, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := newAdmin(t).CreateTopic(ctx, partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

// A node does not run on a topic that would break its promises. It says which, what is wrong, and what to do.
func TestRefusesWrongTopics(t *testing.T) {
	logAppend, create, compact := "LogAppendTime", "CreateTime", "compact"
	for name, c := range map[string]struct {
		make func(t testing.TB, n names)
		says []string
	}{
		"other number of partitions": {
			func(t testing.TB, n names) {
				createTopic(t, n.spans, 3, map[string]*string{"message.timestamp.type": &logAppend})
			},
			[]string{".spans", "3", "8", "partitions"},
		},
		"times of the producers": {
			func(t testing.TB, n names) {
				createTopic(t, n.spans, 8, map[string]*string{"message.timestamp.type": &create})
			},
			[]string{".spans", "CreateTime", "LogAppendTime"},
		},
		"compacted spans": {
			func(t testing.TB, n names) {
				createTopic(t, n.spans, 8, map[string]*string{"message.timestamp.type": &logAppend, "cleanup.policy": &compact})
			},
			[]string{".spans", "compact"},
		},
		"checkpoints of another number of partitions": {
			func(t testing.TB, n names) {
				createTopic(t, n.checkpoints, 2, map[string]*string{"cleanup.policy": &compact})
			},
			[]string{".checkpoints", "partitions"},
		},
		"checkpoints that expire": {
			func(t testing.TB, n names) { createTopic(t, n.checkpoints, 8, nil) },
			[]string{".checkpoints", "compact"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			names := freshNames(t)
			c.make(t, names)
			exit, said := configure(t, names, settings{}).start().refused(30 * time.Second)
			if exit != 1 {
				t.Errorf("exit status %d, want 1", exit)
			}
			for _, word := range c.says {
				if !strings.Contains(said, word) {
					t.Errorf("it does not say %q:\n%s", word, said)
				}
			}
			t.Log(said)
		})
	}
}

// A node on topics that Thresher has made before runs; so the test above does not pass for another reason.
func TestRunsOnItsOwnTopics(t *testing.T) {
	names := freshNames(t)
	node := configure(t, names, settings{}).run()
	node.stop()
	node.run()
	topics := kafka(t, "configs", "--describe", "--entity-type", "topics", "--entity-name", names.spans)
	if !strings.Contains(topics, "message.timestamp.type=LogAppendTime") {
		t.Errorf("the topic of spans does not have log time:\n%s", topics)
	}
}

// A port that somebody else has ends the start with the address in the message.
func TestPortTaken(t *testing.T) {
	for _, which := range []string{"grpc", "http", "node.listen"} {
		t.Run(which, func(t *testing.T) {
			node := configure(t, freshNames(t), settings{})
			addr := map[string]string{"grpc": node.grpc, "http": node.http, "node.listen": node.listen}[which]
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			exit, said := node.start().refused(30 * time.Second)
			if exit != 1 || !strings.Contains(said, addr) {
				t.Errorf("exit status %d, want 1 and %s in:\n%s", exit, addr, said)
			}
		})
	}
}

// Mistakes in the configuration are all told at once, with file and line, and nothing is started.
func TestBadConfiguration(t *testing.T) {
	for _, command := range [][]string{{"validate"}, {"run", "-c"}} {
		file := filepath.Join("testdata", "mistakes.yaml")
		out, err := exec.Command(env.binary, append(command, file)...).CombinedOutput()
		if err == nil {
			t.Errorf("%v: exit status 0", command)
		}
		for _, place := range []string{":3:", ":6:", ":13:", ":15:", ":18:", ":20:"} {
			if !strings.Contains(string(out), "mistakes.yaml"+place) {
				t.Errorf("%v does not name the mistake at line %s\n%s", command, strings.Trim(place, ":"), out)
			}
		}
	}
}

// The annotated configuration that comes with Thresher is valid as it is.
func TestShippedConfiguration(t *testing.T) {
	out, err := exec.Command(env.binary, "validate", filepath.Join("..", "..", "deploy", "thresher.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
