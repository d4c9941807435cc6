package wire

import "slices"

// checkRequest checks the framing of the request and of the ResourceSpans and ScopeSpans in it, and notes the tails.
func (s *Scratch) checkRequest(req []byte) error {
	for pos := 0; pos < len(req); {
		num, wt, body, next := readField(req, pos)
		if next >= 0 && num == fieldResourceSpans && wt != wireLen {
			next = faultWireType
		}
		if next < 0 {
			return formatError("TracesData", req, pos, next)
		}
		if num == fieldResourceSpans {
			if err := s.checkResourceSpans(req[:next], body); err != nil {
				return err
			}
		}
		pos = next
	}
	return nil
}

func (s *Scratch) checkResourceSpans(b []byte, pos int) error {
	for pos < len(b) {
		num, wt, body, next := readField(b, pos)
		if next >= 0 && num == fieldScopeSpans && wt != wireLen {
			next = faultWireType
		}
		if next < 0 {
			return formatError("ResourceSpans", b, pos, next)
		}
		if num == fieldScopeSpans {
			if err := s.checkScopeSpans(b[:next], body); err != nil {
				return err
			}
		}
		pos = next
	}
	return nil
}

func (s *Scratch) checkScopeSpans(b []byte, pos int) error {
	tail, seen := 0, false
	for pos < len(b) {
		num, wt, _, next := readField(b, pos)
		if next >= 0 && num == fieldSpans && wt != wireLen {
			next = faultWireType
		}
		if next < 0 {
			return formatError("ScopeSpans", b, pos, next)
		}
		switch {
		case num == fieldSpans:
			seen = true
		case seen && tail == 0:
			tail = pos
		}
		pos = next
	}
	if len(s.tails) == cap(s.tails) {
		s.tails = slices.Grow(s.tails, max(16, len(s.tails)))
		if err := s.charge(); err != nil {
			return err
		}
	}
	s.tails = append(s.tails, uint32(tail))
	return nil
}
