package buffer

// PageSize is the number of bytes in a page. A trace wastes half a page on average: with 256 bytes that is 2 % of a
// trace of ten 575-byte spans, while a span still needs no more than four copies.
const PageSize = 256

const (
	slabBits  = 10
	slabPages = 1 << slabBits
	slabBytes = slabPages * PageSize
)

// A Chain is an append-only sequence of bytes held in pages. The zero Chain is empty.
type Chain struct {
	head, tail uint32
	fill       uint32 // bytes used in the tail page
}

// Empty reports whether nothing was appended to the chain.
func (c *Chain) Empty() bool { return c.head == 0 }

// Slabs gives and takes back memory for pages. It lets the process keep spans outside the heap that is collected, in large
// pages of the operating system.
type Slabs interface {
	// Get returns size bytes of any content. The sizes asked for are all the same.
	Get(size int) []byte
	// Put takes memory back that Get returned and that nobody uses any more.
	Put([]byte)
}

// Heap takes slabs from the Go heap.
type Heap struct{}

// Get implements Slabs.
func (Heap) Get(size int) []byte { return make([]byte, size) }

// Put implements Slabs.
func (Heap) Put([]byte) {}

// Pages allocates pages from slabs and links them into chains. The links stand in an array of their own, so that
// freeing a chain is one splice and never touches the (by then cold) pages.
type Pages struct {
	source  Slabs
	slabs   [][]byte
	next    []uint32 // next[p] is the page behind p in its chain or in the free list; 0 ends it
	free    uint32   // head of the free list
	nfree   int
	nslabs  int      // slabs that are present
	missing []uint32 // indexes of slabs that Trim gave back
}

// NewPages returns an allocator that takes its slabs from source.
func NewPages(source Slabs) Pages { return Pages{source: source} }

// Release gives all memory back. Neither the pages nor their chains may be used afterwards.
func (p *Pages) Release() {
	for _, s := range p.slabs {
		if s != nil {
			p.source.Put(s)
		}
	}
	*p = Pages{source: p.source}
}

// Used returns the number of bytes in pages that belong to chains.
func (p *Pages) Used() int { return (p.nslabs*slabPages - p.nfree) * PageSize }

// Held returns the number of bytes taken from the heap.
func (p *Pages) Held() int { return p.nslabs*slabBytes + cap(p.next)*4 }

// Append copies b to the end of the chain.
func (p *Pages) Append(c *Chain, b []byte) {
	for len(b) > 0 {
		if c.fill == PageSize || c.head == 0 {
			n := p.alloc()
			if c.head == 0 {
				c.head = n
			} else {
				p.next[c.tail] = n
			}
			c.tail, c.fill = n, 0
		}
		k := copy(p.page(c.tail)[c.fill:], b)
		c.fill += uint32(k)
		b = b[k:]
	}
}

// AppendTo appends the content of the chain to dst.
func (p *Pages) AppendTo(dst []byte, c Chain) []byte {
	for n := c.head; n != 0; n = p.next[n] {
		if n == c.tail {
			return append(dst, p.page(n)[:c.fill]...)
		}
		dst = append(dst, p.page(n)...)
	}
	return dst
}

// Equal reports whether the chain holds exactly b.
func (p *Pages) Equal(c Chain, b []byte) bool {
	for n := c.head; n != 0; n = p.next[n] {
		page := p.page(n)
		if n == c.tail {
			page = page[:c.fill]
		}
		if len(b) < len(page) || string(page) != string(b[:len(page)]) {
			return false
		}
		b = b[len(page):]
	}
	return len(b) == 0
}

// Free gives the pages of the chain back and empties it. pages is the number of pages it had, which the caller can
// compute from the bytes it appended (PagesFor), so that the chain need not be walked.
func (p *Pages) Free(c *Chain, pages int) {
	if c.head == 0 {
		return
	}
	p.next[c.tail] = p.free
	p.free = c.head
	p.nfree += pages
	*c = Chain{}
}

// PagesFor returns the number of pages a chain of n bytes has.
func PagesFor(n uint64) int { return int((n + PageSize - 1) / PageSize) }

func (p *Pages) page(n uint32) []byte {
	off := int(n&(slabPages-1)) * PageSize
	return p.slabs[n>>slabBits][off : off+PageSize : off+PageSize]
}

func (p *Pages) alloc() uint32 {
	if p.free == 0 {
		p.grow()
	}
	n := p.free
	p.free = p.next[n]
	p.next[n] = 0
	p.nfree--
	return n
}

// grow adds a slab, in place of one that was given back if there is one, and puts its pages on the free list in ascending
// order. Page 0 of slab 0 is never used, so that 0 can mean "none".
func (p *Pages) grow() {
	var s uint32
	if k := len(p.missing); k > 0 {
		s = p.missing[k-1]
		p.missing = p.missing[:k-1]
	} else {
		s = uint32(len(p.slabs))
		p.slabs = append(p.slabs, nil)
		p.next = append(p.next, make([]uint32, slabPages)...)
	}
	p.slabs[s] = p.source.Get(slabBytes)
	p.nslabs++
	first := s << slabBits
	for i := uint32(slabPages); i > 0; i-- {
		n := first + i - 1
		if n == 0 {
			continue
		}
		p.next[n] = p.free
		p.free = n
		p.nfree++
	}
	if s == 0 {
		p.nfree++ // page 0 counts as free for ever, so that Used stays a difference
	}
}

// Trim gives slabs without a used page back to the heap when more than half of the pages are free, and sorts the free list
// so that low slabs fill first and high ones drain. Cost: linear in the number of pages; call it every few seconds.
func (p *Pages) Trim() {
	if p.nfree*2 < p.nslabs*slabPages || p.nslabs <= 1 {
		return
	}
	isFree := make([]bool, len(p.next))
	free := make([]int, len(p.slabs))
	for n := p.free; n != 0; n = p.next[n] {
		isFree[n] = true
		free[n>>slabBits]++
	}
	p.free = 0
	p.nfree = 0
	for s := len(p.slabs) - 1; s >= 0; s-- {
		if p.slabs[s] == nil {
			continue
		}
		if s > 0 && free[s] == slabPages {
			p.source.Put(p.slabs[s])
			p.slabs[s] = nil
			p.missing = append(p.missing, uint32(s))
			p.nslabs--
			continue
		}
		first := s << slabBits
		for n := first + slabPages - 1; n >= first; n-- {
			if isFree[n] {
				p.next[n] = p.free
				p.free = uint32(n)
				p.nfree++
			}
		}
	}
	p.nfree++ // page 0
}
