package sampler

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"thresher/policies"
)

// TestSizes: the core must not import unsafe, so the sizes it counts with are written down.
func TestSizes(t *testing.T) {
	require.EqualValues(t, unsafe.Sizeof(item{}), itemBytes)
	require.EqualValues(t, unsafe.Sizeof(block{}), blockBytes)
	require.EqualValues(t, unsafe.Sizeof(Delivery{}), deliveryBytes)
	require.EqualValues(t, unsafe.Sizeof(gathered{}), gatheredBytes)
	require.EqualValues(t, unsafe.Sizeof(policies.Trace{}), competitorBytes)
	require.EqualValues(t, unsafe.Sizeof(ghost{}), ghostBytes)
	require.EqualValues(t, unsafe.Sizeof(rescue{}), rescueBytes)
	require.EqualValues(t, unsafe.Sizeof(Eviction{}), evictionBytes)
}
