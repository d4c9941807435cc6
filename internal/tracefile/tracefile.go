package tracefile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Sink takes what is read.
type Sink interface {
	// Traces takes the bytes of a TracesData message, which are the sink's. The error says what of it cannot be used; it
	// is reported as a Problem of the place, and reading goes on.
	Traces(otlp []byte) error
	// Problem takes what could not be read.
	Problem(p Problem)
}

// A Problem is something in a file that could not be read.
type Problem struct {
	File   string
	Line   int   // from 1; 0 if the format has no lines, or the problem no place
	Offset int64 // of a message in the uncompressed content; -1 if Line says where, or nothing does
	Msg    string
}

// Error writes the problem as file:line: message.
func (p Problem) Error() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Msg)
	case p.Offset >= 0:
		return fmt.Sprintf("%s: byte %d: %s", p.File, p.Offset, p.Msg)
	}
	return p.File + ": " + p.Msg
}

// Stdin is the path that stands for standard input.
const Stdin = "-"

// ReadFile reads the file at a path; Stdin is stdin. It returns when all is read, or ctx is done.
func ReadFile(ctx context.Context, path string, stdin io.Reader, to Sink) {
	if path == Stdin {
		Read(ctx, "<stdin>", stdin, to)
		return
	}
	file, err := os.Open(path)
	if err == nil {
		var info os.FileInfo
		if info, err = file.Stat(); err == nil && info.IsDir() {
			err = errors.New("is a directory; name the files in it")
		}
	}
	if err != nil {
		to.Problem(Problem{File: path, Offset: -1, Msg: reason(err)})
		return
	}
	Read(ctx, path, file, to)
	_ = file.Close() // it was only read
}

func reason(err error) string {
	var inPath *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.As(err, &inPath):
		return "cannot be read: " + inPath.Err.Error()
	}
	return err.Error()
}

// Magic numbers.
const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
	byteOrder = "\xef\xbb\xbf" // a byte order mark
)

// sniffed is how much of the beginning the format is told from.
const sniffed = 4096

// Read reads what in has; name is what problems call it. It returns when all is read, or ctx is done.
func Read(ctx context.Context, name string, in io.Reader, to Sink) {
	f := &file{ctx: ctx, name: name, to: to, offset: -1}
	buffered := bufio.NewReaderSize(&cancellable{ctx, in}, 256<<10)
	head, err := buffered.Peek(sniffed)
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			f.problem("is not the gzip that it begins like: %v", err)
			return
		}
		f.packed = "gzip"
		buffered = bufio.NewReaderSize(unzipped, 256<<10)
		head, err = buffered.Peek(sniffed)
		f.read(buffered, head, err)
	case bytes.HasPrefix(head, []byte(zstdMagic)):
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			f.problem("is not the zstd that it begins like: %v", err)
			return
		}
		defer unpacked.Close()
		f.packed = "zstd"
		buffered = bufio.NewReaderSize(unpacked, 256<<10)
		head, err = buffered.Peek(sniffed)
		f.read(buffered, head, err)
	default:
		f.read(buffered, head, err)
	}
}

// file is a file while it is read.
type file struct {
	ctx    context.Context
	name   string
	packed string // the compression, for messages
	to     Sink

	// Where reading is: one of the two.
	line   int
	offset int64
}

// read tells the format by the beginning of the content.
func (f *file) read(in *bufio.Reader, head []byte, err error) {
	text := strings.TrimLeft(strings.TrimPrefix(string(head), byteOrder), " \t\r\n")
	switch {
	case len(head) == 0 && err != nil && !errors.Is(err, io.EOF):
		f.failed(err)
	case notText(head):
		f.protobuf(in, head)
	case text == "" && errors.Is(err, io.EOF): // a file exporter that has had nothing to write
	case strings.HasPrefix(text, "{") || text == "":
		f.json(in)
	case strings.HasPrefix(text, "["):
		f.line = 1
		f.problem(`is a JSON array; one object a line is wanted, such as {"resourceSpans": [...]}, or a Jaeger {"data": [...]}. ` +
			"jq -c '.[]' makes lines of an array")
	default:
		f.line = 1
		f.problem("is neither OTLP (JSON lines or protobuf) nor Jaeger JSON: it begins with %s", excerpt(text))
	}
}

// notText reports whether the beginning of a file is no text. Protobuf has lengths and tags among the control characters
// from its first attribute or ID on, though its first byte is a line break and the second may be a brace.
func notText(head []byte) bool {
	return bytes.ContainsFunc(head, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' })
}

// traces hands a message on and reports what is wrong with it.
func (f *file) traces(otlp []byte) {
	if err := f.to.Traces(otlp); err != nil {
		f.problem("%v", err)
	}
}

func (f *file) problem(format string, args ...any) {
	f.to.Problem(Problem{File: f.name, Line: f.line, Offset: f.offset, Msg: fmt.Sprintf(format, args...)})
}

// failed reports that no more can be read.
func (f *file) failed(err error) {
	switch {
	case f.ctx.Err() != nil:
	case f.packed != "":
		f.problem("the %s stream is damaged or cut off here, what came before it counts: %v", f.packed, err)
	default:
		f.problem("cannot be read any further: %v", err)
	}
}

// cancellable ends a reader with its context: a pipe may otherwise be waited for for ever.
type cancellable struct {
	ctx context.Context
	in  io.Reader
}

func (c *cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.in.Read(b)
}

func excerpt(text string) string {
	const most = 40
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > most {
		return fmt.Sprintf("%q...", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
