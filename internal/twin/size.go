package twin

import "google.golang.org/protobuf/encoding/protowire"

// spanSizes returns the lengths of the Span messages in TracesData as they were received, in order. Encoding them again
// would not do: encoders differ in what they leave out.
func spanSizes(tracesData []byte) []int {
	sizes := []int{}
	for _, resourceSpans := range fields(tracesData, 1) {
		for _, scopeSpans := range fields(resourceSpans, 2) {
			for _, span := range fields(scopeSpans, 2) {
				sizes = append(sizes, len(span))
			}
		}
	}
	return sizes
}

// fields returns the values of a length-delimited field of a message that is known to be valid.
func fields(message []byte, number protowire.Number) [][]byte {
	var found [][]byte
	for len(message) > 0 {
		field, wireType, n := protowire.ConsumeTag(message)
		size := protowire.ConsumeFieldValue(field, wireType, message[n:])
		if field == number && wireType == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message[n:])
			found = append(found, value)
		}
		message = message[n+size:]
	}
	return found
}
