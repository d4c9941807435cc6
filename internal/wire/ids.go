package wire

// ScanIDs returns the IDs of the span in raw, having looked at the framing of its fields only. The error is a *FormatError
// when raw is not a span, ErrTraceID or ErrSpanID when an ID is absent or zero.
func ScanIDs(raw []byte) (TraceID, SpanID, error) {
	var ids spanIDs
	err := ids.scan(raw, false)
	if err == nil {
		err = ids.present()
	}
	return ids.trace, ids.span, err
}

type spanIDs struct {
	trace TraceID
	span  SpanID
}

// present returns ErrTraceID or ErrSpanID if an ID is absent.
func (ids *spanIDs) present() error {
	if ids.trace == (TraceID{}) {
		return ErrTraceID
	}
	if ids.span == (SpanID{}) {
		return ErrSpanID
	}
	return nil
}

// scan reads the IDs of the span in b and checks the span, to the bottom if deep is set.
func (ids *spanIDs) scan(b []byte, deep bool) error {
	for pos := 0; pos < len(b); {
		switch b[pos] {
		case tagTraceID:
			if pos+18 <= len(b) && b[pos+1] == 16 {
				ids.trace = TraceID(b[pos+2 : pos+18])
				pos += 18
				continue
			}
		case tagSpanID:
			if pos+10 <= len(b) && b[pos+1] == 8 {
				ids.span = SpanID(b[pos+2 : pos+10])
				pos += 10
				continue
			}
		case tagAttribute:
			var next int
			if deep {
				next = plainAttrs(b, pos)
			} else {
				next = skipAttrs(b, pos)
			}
			if next != pos {
				pos = next
				continue
			}
		}
		next, bad := ids.scanField(b, pos, deep)
		if bad.code < 0 {
			return bad.error(b)
		}
		pos = next
	}
	return nil
}

func (ids *spanIDs) scanField(b []byte, pos int, deep bool) (next int, bad flaw) {
	num, wt, body, next := readField(b, pos)
	if next < 0 {
		return 0, flaw{next, pos, shapeSpan}
	}
	f := shapeSpan.field(num)
	if !f.known {
		return next, flaw{}
	}
	if f.wire != wt {
		return 0, flaw{faultWireType, pos, shapeSpan}
	}
	if f.sub == shapeNone {
		return next, flaw{}
	}
	if deep || f.sub == shapeTraceID || f.sub == shapeSpanID || f.sub == shapeStatus {
		if bad := checkContent(b[:next], body, pos, shapeSpan, f.sub, 0); bad.code < 0 {
			return 0, bad
		}
	}
	switch num {
	case 1:
		ids.trace = TraceID{}
		copy(ids.trace[:], b[body:next])
	case 2:
		ids.span = SpanID{}
		copy(ids.span[:], b[body:next])
	}
	return next, flaw{}
}

// plainAttrs skips the attributes at pos that plainAttr accepts, and returns where it stopped.
func plainAttrs(b []byte, pos int) int {
	for pos+6 <= len(b) && b[pos] == tagAttribute {
		// As in scanAttrs: lengths of one byte first.
		n := int(b[pos+1])
		mid := pos + 4 + int(b[pos+3])
		end := pos + 2 + n
		if n >= 0x80 || end > len(b) || mid+2 > end || mid+2+int(b[mid+1]) != end {
			body, end := shortLen(b, pos+1)
			if end == 0 || !plainAttr(b[:end], body) {
				break
			}
			pos = end
			continue
		}
		lo, hi := mid+2, end
		if b[pos+2] == tagValue && b[mid] == tagKey {
			lo, hi = pos+4, mid
		} else if b[pos+2] != tagKey || b[mid] != tagValue {
			break
		}
		if v := b[lo:hi]; len(v) >= 2 && v[0] == tagString && int(v[1]) == len(v)-2 || plainValue(v) {
			pos = end
			continue
		}
		break
	}
	return pos
}
