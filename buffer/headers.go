package buffer

// Headers stores each distinct resource or scope header once and gives it a number. An entry stays until the
// partition time it was asked to be kept until has passed: the last deadline of the traces that use it. So no count of users is
// kept, and dropping a trace need not visit its spans.
type Headers struct {
	entries []header
	free    []uint32
	numbers map[string]uint32 // Go's own: its hash is seeded, so that nobody can make headers collide
	bytes   int
}

type header struct {
	bytes string
	until int64
	live  bool
}

// headerOverhead is about what an entry takes besides its bytes.
const headerOverhead = 96

// NewHeaders returns an empty table.
func NewHeaders() *Headers { return &Headers{numbers: make(map[string]uint32)} }

// Intern returns the number of the header with these bytes, which stays valid until partition time passes until.
func (h *Headers) Intern(b []byte, until int64) uint32 {
	if id, ok := h.numbers[string(b)]; ok {
		e := &h.entries[id]
		e.until = max(e.until, until)
		return id
	}
	var id uint32
	if k := len(h.free); k > 0 {
		id = h.free[k-1]
		h.free = h.free[:k-1]
	} else {
		id = uint32(len(h.entries))
		h.entries = append(h.entries, header{})
	}
	s := string(b)
	h.entries[id] = header{bytes: s, until: until, live: true}
	h.numbers[s] = id
	h.bytes += len(s) + headerOverhead
	return id
}

// AppendTo appends the bytes of a header to dst.
func (h *Headers) AppendTo(dst []byte, id uint32) []byte { return append(dst, h.entries[id].bytes...) }

// Expire forgets the headers that were to be kept until a time before now and tells their numbers, which
// will be given out again.
func (h *Headers) Expire(now int64, gone func(id uint32)) {
	for id := range h.entries {
		e := &h.entries[id]
		if !e.live || e.until >= now {
			continue
		}
		h.drop(uint32(id))
		gone(uint32(id))
	}
	if len(h.numbers) == 0 && cap(h.entries) > 1024 {
		*h = Headers{numbers: make(map[string]uint32)} // a map never shrinks
	}
}

// Retain forgets the headers that used does not report, and tells their numbers, which will be given out again.
func (h *Headers) Retain(used func(id uint32) bool, gone func(id uint32)) {
	for id := range h.entries {
		if e := &h.entries[id]; e.live && !used(uint32(id)) {
			h.drop(uint32(id))
			gone(uint32(id))
		}
	}
}

func (h *Headers) drop(id uint32) {
	e := &h.entries[id]
	delete(h.numbers, e.bytes)
	h.bytes -= len(e.bytes) + headerOverhead
	*e = header{}
	h.free = append(h.free, id)
}

// Slots returns the number of headers that there was room for at once: numbers are smaller.
func (h *Headers) Slots() int { return len(h.entries) }

// Len returns the number of headers stored.
func (h *Headers) Len() int { return len(h.numbers) }

// Bytes returns about what the headers take.
func (h *Headers) Bytes() int { return h.bytes }
