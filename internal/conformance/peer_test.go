package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A verdict is the decision on a trace.
type verdict struct {
	decision string // sampled, not_sampled or dropped
	policy   string
}

func (v verdict) String() string {
	if v.policy == "" {
		return v.decision
	}
	return v.decision + " by " + v.policy
}

// A peer is a running peer program.
type peer struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// errCrash is that the peer program ended instead of answering.
var errCrash = errors.New("the peer crashed")

// peerProgram is the path of the built program.
var peerProgram string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	peerProgram = filepath.Join(dir, "peer")
	build := exec.Command("go", "build", "-o", peerProgram, ".")
	build.Dir = "peer"
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the peer: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// startPeer runs a peer until the test ends.
func startPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{cmd: exec.Command(peerProgram)}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<16)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.cmd.Wait() // a crash has been reported as errCrash
	})
	return p
}

// decide lets the peer decide the traces in OTLP requests. The error is the processor's refusal of the configuration, or
// errCrash.
func (p *peer) decide(config string, requests ...[]byte) (map[traceID]verdict, error) {
	b := binary.AppendUvarint(nil, uint64(len(config)))
	b = append(b, config...)
	b = binary.AppendUvarint(b, uint64(len(requests)))
	for _, r := range requests {
		b = binary.AppendUvarint(b, uint64(len(r)))
		b = append(b, r...)
	}
	if _, err := p.in.Write(b); err != nil {
		return nil, errors.Join(errCrash, err)
	}
	refusal, err := p.text()
	if err != nil {
		return nil, errors.Join(errCrash, err)
	}
	n, err := binary.ReadUvarint(p.out)
	if err != nil {
		return nil, errors.Join(errCrash, err)
	}
	verdicts := make(map[traceID]verdict, n)
	for range n {
		var id traceID
		if _, err := io.ReadFull(p.out, id[:]); err != nil {
			return nil, errors.Join(errCrash, err)
		}
		decision, err := p.text()
		if err != nil {
			return nil, errors.Join(errCrash, err)
		}
		name, err := p.text()
		if err != nil {
			return nil, errors.Join(errCrash, err)
		}
		if _, twice := verdicts[id]; twice {
			return nil, fmt.Errorf("the peer decided trace %x twice", id)
		}
		verdicts[id] = verdict{decision, name}
	}
	if refusal != "" {
		return nil, errors.New(refusal)
	}
	return verdicts, nil
}

func (p *peer) text() (string, error) {
	n, err := binary.ReadUvarint(p.out)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(p.out, b)
	return string(b), err
}
