package wire

// MaxDepth is how many AnyValues may lie within each other, the value of the attribute included. Readers recurse over
// them, so without a bound a message of a megabyte could exhaust the stack of whoever decodes it later.
const MaxDepth = 100

// Validate checks a Span message to the bottom: pdata decodes what it accepts. It does not ask for IDs to be present; ScanIDs
// and ScanSpan do. The error is a *FormatError.
func Validate(raw []byte) error {
	var ids spanIDs
	return ids.scan(raw, true)
}

// ValidateResource checks the header of a ResourceSpans message to the bottom. The error is a *FormatError.
func ValidateResource(header []byte) error { return validate(header, shapeResourceSpans) }

// ValidateScope checks the header of a ScopeSpans message to the bottom. The error is a *FormatError.
func ValidateScope(header []byte) error { return validate(header, shapeScopeSpans) }

func validate(b []byte, s shape) error {
	if f := checkMessage(b, 0, s, 0); f.code < 0 {
		return f.error(b)
	}
	return nil
}

// A flaw is the first field that is wrong in a message, and what is wrong with it.
type flaw struct {
	code int // a fault, or 0: nothing is wrong
	at   int
	in   shape
}

func (f flaw) error(b []byte) error { return formatError(shapes[f.in].name, b, f.at, f.code) }

// checkMessage checks the message from pos to the end of b. depth is the number of AnyValues around it.
func checkMessage(b []byte, pos int, s shape, depth int) flaw {
	for pos < len(b) {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return flaw{next, pos, s}
		}
		f := s.field(num)
		if f.known {
			if f.wire != wt {
				return flaw{faultWireType, pos, s}
			}
			if f.sub != shapeNone {
				if bad := checkContent(b[:next], body, pos, s, f.sub, depth); bad.code < 0 {
					return bad
				}
			}
		}
		pos = next
	}
	return flaw{}
}

// checkContent checks the content of the field at pos of a message s, from body to the end of b.
func checkContent(b []byte, body, pos int, s, sub shape, depth int) flaw {
	n := len(b) - body
	switch sub {
	case shapeTraceID:
		if n != 0 && n != len(TraceID{}) {
			return flaw{faultIDLength, pos, s}
		}
		return flaw{}
	case shapeSpanID:
		if n != 0 && n != len(SpanID{}) {
			return flaw{faultIDLength, pos, s}
		}
		return flaw{}
	case shapeKeyValue:
		if depth < MaxDepth && plainAttr(b, body) {
			return flaw{}
		}
	case shapeAnyValue:
		if depth++; depth > MaxDepth {
			return flaw{faultDepth, pos, s}
		}
	}
	return checkMessage(b, body, sub, depth)
}

// plainAttr reports whether the KeyValue message from pos to the end of b is a key and a scalar value in usual encoding,
// in either order. Then there is nothing more to check in it.
func plainAttr(b []byte, pos int) bool {
	if len(b)-pos < 4 {
		return false
	}
	first, mid := shortLen(b, pos+1)
	if mid == 0 || mid+2 > len(b) {
		return false
	}
	second, end := shortLen(b, mid+1)
	if end != len(b) {
		return false
	}
	if b[pos] == tagKey && b[mid] == tagValue {
		return plainValue(b[second:])
	}
	return b[pos] == tagValue && b[mid] == tagKey && plainValue(b[first:mid])
}

func plainValue(b []byte) bool {
	if len(b) < 2 {
		return len(b) == 0
	}
	switch b[0] {
	case tagString:
		_, end := shortLen(b, 1)
		return end == len(b)
	case tagBool, tagInt:
		_, end := readVarint(b, 1)
		return end == len(b)
	case tagDouble:
		return len(b) == 9
	}
	return false
}
