package buffer

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestSizes: the core must not import unsafe, so the sizes it counts with are written down.
func TestSizes(t *testing.T) {
	require.EqualValues(t, unsafe.Sizeof(Trace{}), traceBytes)
	require.EqualValues(t, unsafe.Sizeof(Decided{}), decidedBytes)
}
