package node

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTwoNodesOfOneLog: placement is for efficiency, not for safety. Two nodes that both read every partition make the same decisions;
// the backend gets duplicates and nothing else, and one may stop while the other goes on.
func TestTwoNodesOfOneLog(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	one, two := startNode(t, cfg), startNode(t, cfg)
	reqs := traffic(12, 12_000)
	half := len(reqs) / 2
	one.send(reqs[:half]...)
	two.send(reqs[half : half+half/2]...)
	require.Eventually(t, func() bool { return one.Status().Exporters[0].Traces > 20 && two.Status().Exporters[0].Traces > 20 },
		10*time.Second, 10*time.Millisecond)
	one.end()
	two.send(reqs[half+half/2:]...)
	s := two.quiet(count(reqs))
	kept, ledger := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	require.Equal(t, ledger.Kept, int(s.Ledger.Kept), "the node that read everything decided as the twin")
	require.Positive(t, back.twice(), "both delivered")

	// A third one takes over from whichever checkpoint came last.
	two.end()
	three := startNode(t, cfg)
	more := traffic(13, 4000)
	three.send(more...)
	three.quiet(count(more))
	kept, _ = oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}
