package ottl

import "bytes"

// How many decoded headers a view keeps, and of how many bytes together. The newest is kept whatever its size.
const (
	maxHeaders     = 16
	maxHeaderBytes = 1 << 20
)

// headers keeps the headers that were decoded last, the newest first: spans that share one usually come one after the other,
// and a decoded resource is as large as a span.
type headers[T any] struct {
	read  func([]byte) (T, error)
	kept  []header[T]
	bytes int
}

type header[T any] struct {
	raw     []byte
	decoded T
	err     error
}

// get returns the header in raw, decoded. raw is copied if it is kept.
func (h *headers[T]) get(raw []byte) (T, error) {
	for i := range h.kept {
		if !bytes.Equal(h.kept[i].raw, raw) {
			continue
		}
		if i > 0 {
			found := h.kept[i]
			copy(h.kept[1:i+1], h.kept[:i])
			h.kept[0] = found
		}
		return h.kept[0].decoded, h.kept[0].err
	}
	decoded, err := h.read(raw)
	h.bytes += len(raw)
	for n := len(h.kept); n > 0 && (n == maxHeaders || h.bytes > maxHeaderBytes); n-- {
		h.bytes -= len(h.kept[n-1].raw)
		h.kept[n-1] = header[T]{}
		h.kept = h.kept[:n-1]
	}
	h.kept = append(h.kept, header[T]{})
	copy(h.kept[1:], h.kept)
	h.kept[0] = header[T]{bytes.Clone(raw), decoded, err}
	return decoded, err
}
