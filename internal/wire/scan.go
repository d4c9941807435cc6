package wire

import "encoding/binary"

// Tag bytes of the fields of a Span.
const (
	tagTraceID    = 1<<3 | wireLen
	tagSpanID     = 2<<3 | wireLen
	tagTraceState = 3<<3 | wireLen
	tagParentID   = 4<<3 | wireLen
	tagName       = 5<<3 | wireLen
	tagKind       = 6<<3 | wireVarint
	tagStart      = 7<<3 | wireI64
	tagEnd        = 8<<3 | wireI64
	tagAttribute  = 9<<3 | wireLen
	tagEvent      = 11<<3 | wireLen
	tagLink       = 13<<3 | wireLen
	tagStatus     = 15<<3 | wireLen
	tagStatusCode = 3<<3 | wireVarint // in Status

	// The tag of flags, field 16, takes two bytes.
	tagFlags0 = (16<<3|wireI32)&0x7f | 0x80
	tagFlags1 = (16<<3 | wireI32) >> 7
)

// ScanSpan reads the span in raw into s, whose earlier content is lost except for the capacity of s.Attrs. Of the
// attributes only those in keys are read; of the others, of events and of links only the framing is looked at, so an error in
// them goes unseen: Validate is for that. As protobuf says, the last one of a repeated scalar field counts and repeated
// status messages are merged; an attribute with several keys, which nothing writes, goes by the last.
//
// The error is a *FormatError when raw is not a span, ErrTraceID or ErrSpanID when an ID is absent or zero. Then the fields
// of s are not to be relied upon, except that with ErrTraceID and ErrSpanID all are set.
func ScanSpan(raw []byte, keys *KeySet, s *Span) error {
	s.Raw = raw
	s.TraceID, s.SpanID, s.ParentID = TraceID{}, SpanID{}, SpanID{}
	s.Start, s.End = 0, 0
	s.Kind, s.Status, s.Flags = 0, 0, 0
	s.Name, s.TraceState = nil, nil
	s.Attrs = s.Attrs[:0]

	// The cases below take the encodings that encoders write and `continue`. Whatever is unusual, and whatever is wrong,
	// falls out of the switch into scanField, which handles every field in full.
	for pos := 0; pos < len(raw); {
		switch raw[pos] {
		case tagTraceID:
			if pos+18 <= len(raw) && raw[pos+1] == 16 {
				s.TraceID = TraceID(raw[pos+2 : pos+18])
				pos += 18
				continue
			}
		case tagSpanID:
			if pos+10 <= len(raw) && raw[pos+1] == 8 {
				s.SpanID = SpanID(raw[pos+2 : pos+10])
				pos += 10
				continue
			}
		case tagParentID:
			if pos+10 <= len(raw) && raw[pos+1] == 8 {
				s.ParentID = SpanID(raw[pos+2 : pos+10])
				pos += 10
				continue
			}
		case tagName:
			if pos+2 <= len(raw) && raw[pos+1] < 0x80 {
				if end := pos + 2 + int(raw[pos+1]); end <= len(raw) {
					s.Name = raw[pos+2 : end : end]
					pos = end
					continue
				}
			}
		case tagKind:
			if pos+2 <= len(raw) && raw[pos+1] < 0x80 {
				s.Kind = int32(raw[pos+1])
				pos += 2
				continue
			}
		case tagStart:
			if pos+9 <= len(raw) {
				s.Start = binary.LittleEndian.Uint64(raw[pos+1:])
				pos += 9
				continue
			}
		case tagEnd:
			if pos+9 <= len(raw) {
				s.End = binary.LittleEndian.Uint64(raw[pos+1:])
				pos += 9
				continue
			}
		case tagStatus:
			// Without a message, as nearly always: empty, or just the code.
			if pos+2 <= len(raw) && raw[pos+1] == 0 {
				pos += 2
				continue
			}
			if pos+4 <= len(raw) && raw[pos+1] == 2 && raw[pos+2] == tagStatusCode && raw[pos+3] < 0x80 {
				s.Status = int32(raw[pos+3])
				pos += 4
				continue
			}
		case tagFlags0:
			if pos+6 <= len(raw) && raw[pos+1] == tagFlags1 {
				s.Flags = binary.LittleEndian.Uint32(raw[pos+2:])
				pos += 6
				continue
			}
		case tagAttribute:
			var next int
			if keys.Len() == 0 {
				next = skipAttrs(raw, pos)
			} else {
				next = s.scanAttrs(raw, pos, keys)
			}
			if next != pos {
				pos = next
				continue
			}
		}
		next := s.scanField(raw, pos, keys)
		if next < 0 {
			return formatError("Span", raw, pos, next)
		}
		pos = next
	}
	if s.TraceID == (TraceID{}) {
		return ErrTraceID
	}
	if s.SpanID == (SpanID{}) {
		return ErrSpanID
	}
	return nil
}
