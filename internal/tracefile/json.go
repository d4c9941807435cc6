package tracefile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	longestFirst = 32 << 20  // a first line that is longer is read as a document
	longestLine  = 512 << 20 // bounds the memory that a file without line breaks takes
)

// json reads objects: one a line, or a document over many lines. What tells them apart is the first line: if it is JSON by
// itself there is one a line. If not, it is the beginning of a document, unless the line behind it begins an object of its own:
// then it is a line that was cut off, as the first after a rotation or a copy of a part.
func (f *file) json(in *bufio.Reader) {
	if head, _ := in.Peek(len(byteOrder)); string(head) == byteOrder {
		_, _ = in.Discard(len(byteOrder))
	}
	first, err := f.nextLine(in, longestFirst)
	if errors.Is(err, errLong) {
		f.document(io.MultiReader(bytes.NewReader(first), in), f.line)
		return
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed(err)
		return
	}
	if json.Valid(first) {
		f.jsonLine(first)
		f.lines(in, err)
		return
	}
	at := f.line
	if err != nil {
		f.document(bytes.NewReader(first), at)
		return
	}
	second, err := f.nextLine(in, longestFirst)
	if !errors.Is(err, errLong) && beginsObject(second) {
		behind := f.line
		f.line = at
		f.jsonLine(first)
		f.line = behind
		f.jsonLine(second)
		f.lines(in, err)
		return
	}
	// The blank lines between the two are put back, so that lines count right.
	gap := bytes.Repeat([]byte("\n"), f.line-at)
	f.document(io.MultiReader(bytes.NewReader(first), bytes.NewReader(gap), bytes.NewReader(second), f.broken(err), in), at)
}

// beginsObject says whether a line is not one within a document.
func beginsObject(line []byte) bool {
	for _, key := range []string{"resourceSpans", "resource_spans", "data"} {
		if bytes.HasPrefix(line, []byte(`{"`+key+`"`)) {
			return true
		}
	}
	return len(line) > 0 && line[0] == '{' && json.Valid(line)
}

// broken puts the line break back that nextLine took.
func (f *file) broken(err error) io.Reader {
	if err != nil {
		return bytes.NewReader(nil)
	}
	return bytes.NewReader([]byte("\n"))
}

var errLong = errors.New("line too long")

// nextLine returns the next line that is not blank, without its end. The error is io.EOF with the last one, errLong with
// the beginning of a line that is longer than most, or why no more can be read.
func (f *file) nextLine(in *bufio.Reader, most int) ([]byte, error) {
	for {
		var line []byte
		f.line++
		for {
			part, err := in.ReadSlice('\n')
			line = append(line, part...)
			if errors.Is(err, bufio.ErrBufferFull) {
				if len(line) > most {
					return line, errLong
				}
				continue
			}
			if err != nil {
				return bytes.TrimRight(line, "\r\n"), err
			}
			break
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return bytes.TrimRight(line, "\r\n"), nil
		}
	}
}

// lines reads the lines behind the first; err is the error that came with it.
func (f *file) lines(in *bufio.Reader, err error) {
	for err == nil && f.ctx.Err() == nil {
		var line []byte
		line, err = f.nextLine(in, longestLine)
		if errors.Is(err, errLong) {
			f.problem("this line has more than %d MiB, and lines of such a length are not read", longestLine>>20)
			err = skipLine(in)
			continue
		}
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			f.jsonLine(line)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed(err)
	}
}

func skipLine(in *bufio.Reader) error {
	for {
		if _, err := in.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// jsonLine reads the objects in one line.
func (f *file) jsonLine(line []byte) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	for {
		err := f.value(decoder, nil)
		if errors.Is(err, io.EOF) || f.ctx.Err() != nil {
			return
		}
		if err != nil {
			f.problem("%s; what it holds behind the mistake is not counted", syntax(err, "this line"))
			return
		}
	}
}

// document reads objects that may go over several lines. Behind a mistake there is no place to go on from.
func (f *file) document(in io.Reader, line int) {
	counter := &lineCounter{in: in, line: line}
	decoder := json.NewDecoder(counter)
	for f.ctx.Err() == nil {
		f.line = counter.at(decoder.InputOffset())
		err := f.value(decoder, counter)
		if err == nil {
			continue
		}
		var syntaxErr *json.SyntaxError
		switch {
		case counter.err != nil && !errors.Is(counter.err, io.EOF):
			f.failed(counter.err)
			return
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &syntaxErr):
			f.line = counter.at(decoder.InputOffset()) + linesToMistake(decoder)
		case errors.Is(err, io.ErrUnexpectedEOF):
			f.line = counter.at(counter.read - 1)
		default:
			f.line = counter.at(decoder.InputOffset())
		}
		f.problem("%s; the rest of the file is not read", syntax(err, "the file"))
		return
	}
}

// linesToMistake returns how many lines behind its place a decoder has met a mistake. The offset in its error does not say so:
// it does not count what was read as tokens.
func linesToMistake(decoder *json.Decoder) int {
	rest, err := io.ReadAll(decoder.Buffered())
	if err != nil {
		return 0
	}
	value := bytes.TrimLeft(rest, ", \t\r\n")
	to := len(rest) - len(value)
	var mistake *json.SyntaxError
	if errors.As(json.NewDecoder(bytes.NewReader(value)).Decode(new(json.RawMessage)), &mistake) {
		to += int(mistake.Offset) - 1
	}
	return bytes.Count(rest[:to], []byte("\n"))
}

// syntax says what a JSON error means.
func syntax(err error, what string) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return what + " ends in the middle of a value, so it was cut off"
	}
	return fmt.Sprintf("is not JSON: %v", err)
}

// lineCounter counts the lines of what a decoder reads, which is ahead of what it has decoded.
type lineCounter struct {
	in     io.Reader
	read   int64
	line   int     // at the position that was last asked for
	breaks []int64 // offsets of the line breaks behind it
	err    error   // why there is no more
}

func (c *lineCounter) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	for i, ch := range b[:n] {
		if ch == '\n' {
			c.breaks = append(c.breaks, c.read+int64(i))
		}
	}
	c.read += int64(n)
	c.err = err
	return n, err
}

// at returns the line of an offset that is not before the last one asked for.
func (c *lineCounter) at(offset int64) int {
	n := 0
	for n < len(c.breaks) && c.breaks[n] < offset {
		n++
	}
	c.line += n
	c.breaks = c.breaks[:copy(c.breaks, c.breaks[n:])]
	return c.line
}
