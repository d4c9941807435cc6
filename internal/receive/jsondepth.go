package receive

import "thresher/internal/wire"

// maxJSONDepth admits every request whose attribute values are nested no deeper than wire.MaxDepth. A map value
// takes four levels of JSON: {"kvlistValue":{"values":[{"value": and so on.
const maxJSONDepth = 4*wire.MaxDepth + 16

// tooDeep reports whether arrays and objects are nested deeper than limit. The decoder would refuse such a body too, but
// only after recursing ten thousand levels down, and encoding what it took takes time with the square of the depth. Of
// malformed JSON it may say anything.
func tooDeep(body []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
