package wire

// ScanResource appends the attributes of the resource in header whose keys are in keys to attrs, in wire order. header is what
// Walk gives to Visitor.Resource. Attributes that are not wanted are only skipped; ValidateResource looks into them.
// The error is a *FormatError; attrs then holds what was read before it.
func ScanResource(header []byte, keys *KeySet, attrs []Attr) ([]Attr, error) {
	if keys.Len() == 0 {
		return attrs, nil
	}
	for pos := 0; pos < len(header); {
		num, wt, body, next := readField(header, pos)
		if next >= 0 && wt != wireLen && (num == 1 || num == 3 || num == fieldDeprecatedScopeSpans) {
			next = faultWireType
		}
		if next < 0 {
			return attrs, formatError("ResourceSpans", header, pos, next)
		}
		if num == 1 { // several Resource messages are merged
			b := header[:next]
			for at := body; at < next; {
				num, wt, body, end := readField(b, at)
				if end >= 0 && num == 1 {
					if wt != wireLen {
						end = faultWireType
					} else {
						var fault int
						if attrs, fault = appendAttr(attrs, b[body:end], keys); fault < 0 {
							end = fault
						}
					}
				}
				if end < 0 {
					return attrs, formatError("Resource", b, at, end)
				}
				at = end
			}
		}
		pos = next
	}
	return attrs, nil
}
