package export

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// slowTopic is a rejected topic that takes what it is given when a test says so.
type slowTopic struct {
	mu   sync.Mutex
	done []func()
}

func (s *slowTopic) reject(_ []byte, _, _ string, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, done)
}

func (s *slowTopic) take() {
	s.mu.Lock()
	all := s.done
	s.done = nil
	s.mu.Unlock()
	for _, done := range all {
		done()
	}
}

// oddRefused accepts one trace to be trusted, and refuses the odd ones of the rest.
var oddRefused = func(_ context.Context, b *batch) outcome {
	for _, en := range b.entries {
		if en.Seq%2 == 1 {
			return outcome{verdict: refused, kind: kindInvalid, err: errors.New("odd")}
		}
	}
	return outcome{}
}

func TestRefusedTraceIsSettledWhenTheTopicHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, topic := newLedger(), &slowTopic{}
		s := &script{answer: oddRefused}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(_ *Delivery, o *Options) {
			o.Reject = topic.reject
			o.MaxBytes = 100_000
		})
		d.Submit(small(7, 0, 100, 2000))
		elapse(time.Second)
		synctest.Wait()
		require.Equal(t, 50, l.acked())
		st := statsOf(t, d, "a")
		require.EqualValues(t, 50, st.RejectingTraces)
		require.Zero(t, st.RejectedTraces)
		require.True(t, d.Full(), "what is on its way to the topic is in the budget")
		topic.take()
		l.once(t, 100)
		require.False(t, d.Full())
		require.Zero(t, d.Stats().QueueBytes)
		require.EqualValues(t, 50, statsOf(t, d, "a").RejectedTraces)
	})
}

func TestRefusedTraceOfAForgottenPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, topic := newLedger(), &slowTopic{}
		d := scripted(t, l, map[string]any{"a": &script{answer: oddRefused}}, kept("a"), func(_ *Delivery, o *Options) { o.Reject = topic.reject })
		d.Submit(small(7, 0, 10, 10))
		elapse(time.Second)
		d.Forget(7)
		d.Submit(small(7, 0, 1, 10)) // of the next tenure
		elapse(time.Second)
		topic.take()
		synctest.Wait()
		require.Equal(t, 5, l.acked())
		require.Equal(t, 2, l.count(0))
		require.Zero(t, d.Stats().QueueBytes)
	})
}

func TestRefusedTraceAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, topic := newLedger(), &slowTopic{}
		d := scripted(t, l, map[string]any{"a": &script{answer: oddRefused}}, kept("a"), func(_ *Delivery, o *Options) { o.Reject = topic.reject })
		d.Submit(small(7, 0, 10, 10))
		elapse(time.Second)
		require.NoError(t, d.Shutdown(context.Background()))
		topic.take()
		synctest.Wait()
		require.Equal(t, 5, l.acked(), "the log has the rest")
	})
}

// One of two required exporters gives a trace up: it is settled when the other has it.
func TestRefusedByOneOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, topic := newLedger(), &slowTopic{}
		gate := make(chan struct{})
		other := &script{answer: func(context.Context, *batch) outcome { <-gate; return outcome{} }}
		d := scripted(t, l, map[string]any{"a": &script{answer: oddRefused}, "b": other}, kept("a", "b"), func(_ *Delivery, o *Options) { o.Reject = topic.reject })
		d.Submit(small(7, 0, 10, 10))
		elapse(time.Second)
		close(gate)
		elapse(time.Second)
		synctest.Wait()
		require.Equal(t, 5, l.acked())
		topic.take()
		l.once(t, 10)
	})
}
