package sampler

// Offset is the place of a record in its partition.
type Offset int64

// Resume is the place to go on reading from: the offset of the next record, not of the last one. It is a type of its own
// because mixing the two up loses or repeats a record.
type Resume int64

// After returns the place behind a record.
func (o Offset) After() Resume { return Resume(o + 1) }

// Settles reports whether a record lies before the place to resume at, which means that what it began is settled.
func (r Resume) Settles(o Offset) bool { return int64(o) < int64(r) }
