package wire

// keyValueSize returns the size of the KeyValue message in b as pdata writes it. depth is the number of AnyValues around it.
func keyValueSize(b []byte, depth int) int {
	if isTight(b) && depth < MaxDepth {
		return len(b)
	}
	var key, index, value int
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 || num <= 2 && wt != wireLen || num == 3 && wt != wireVarint {
			return len(b)
		}
		switch num {
		case 1:
			key = textSize(next - body)
		case 2:
			value = anyValueSize(b[body:next], value, depth+1)
		case 3: // an index into the string table of profiles
			v, _ := readVarint(b, body)
			index = numberSize(signed(v))
		}
		pos = next
	}
	return key + index + fieldLen(value)
}

// isTight reports whether the KeyValue message in b is a key and a scalar value, in either order, in as few bytes as can be, as
// nearly all are.
func isTight(b []byte) bool {
	if len(b) < 7 || len(b) >= 0x80 {
		return false
	}
	mid := 2 + int(b[1])
	if mid+2 > len(b) || mid+2+int(b[mid+1]) != len(b) {
		return false
	}
	if b[0] == tagKey && b[mid] == tagValue {
		return mid > 2 && isTightValue(b[mid+2:])
	}
	return b[0] == tagValue && b[mid] == tagKey && mid+2 < len(b) && isTightValue(b[2:mid])
}

func isTightValue(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	switch b[0] {
	case tagString:
		return int(b[1]) == len(b)-2
	case tagBool:
		return len(b) == 2 && b[1] < 0x80
	case tagInt:
		_, end := readVarint(b, 1)
		return end == len(b) && end <= 10 && (end == 2 || b[end-1] != 0)
	case tagDouble:
		return len(b) == 9
	}
	return false
}

// anyValueSize returns the size of the AnyValue message in b as pdata writes it: the last variant set counts. size is that of
// an earlier message, which this one is merged into. What is nested deeper than MaxDepth counts as it is.
func anyValueSize(b []byte, size, depth int) int {
	if depth > MaxDepth {
		return len(b)
	}
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 || int(num) < len(anyValueWire) && wt != anyValueWire[num] {
			return len(b)
		}
		switch num {
		case 1, 7:
			size = fieldLen(next - body)
		case 2:
			size = 2
		case 3:
			v, _ := readVarint(b, body)
			size = 1 + varintLen(v)
		case 4:
			size = 9
		case 5, 6:
			size = fieldLen(valuesSize(b[body:next], num == 6, depth))
		case 8:
			v, _ := readVarint(b, body)
			size = 1 + varintLen(signed(v))
		}
		pos = next
	}
	return size
}

// valuesSize returns the size of an ArrayValue, or of a KeyValueList if there are keys.
func valuesSize(b []byte, keys bool, depth int) (size int) {
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 || num == 1 && wt != wireLen {
			return len(b)
		}
		switch {
		case num != 1:
		case keys:
			size += fieldLen(keyValueSize(b[body:next], depth))
		default:
			size += fieldLen(anyValueSize(b[body:next], 0, depth+1))
		}
		pos = next
	}
	return size
}
