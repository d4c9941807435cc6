package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// fileSender appends a line a trace: a TracesData in OTLP JSON, as the Collector's file exporter writes it. A trace
// counts as delivered when its line is flushed, and on the disk if fsync is on.
//
// One process writes a file. Two would undo each other's repairs.
type fileSender struct {
	cfg    *FileConfig
	logger *slog.Logger
	file   *os.File // nil after a failure that could not be repaired in place
	size   int64    // up to here the file is whole lines
}

// lineStart begins every line this exporter writes.
var lineStart = []byte(`{"resourceSpans":`)

func openFile(cfg *FileConfig, logger *slog.Logger) (*fileSender, error) {
	s := &fileSender{cfg: cfg, logger: logger}
	return s, s.open()
}

func (s *fileSender) open() error {
	if s.cfg.CreateDirectory {
		if err := os.MkdirAll(filepath.Dir(s.cfg.Path), 0o755); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(s.cfg.Path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: there is no directory %s; make it, or set create_directory: true", err, filepath.Dir(s.cfg.Path))
	}
	if err != nil {
		return err
	}
	size, err := repair(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if s.cfg.Fsync {
		if err := syncDirectory(filepath.Dir(s.cfg.Path)); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	s.file, s.size = file, size
	return nil
}

// syncDirectory makes the name of a new file survive a power failure.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// repair ends the file after a line break. A crash may have left part of a line: its trace was not acknowledged and comes
// again, so the part is cut off. A tail that is not ours is left alone on a line of its own.
func repair(file *os.File) (size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file; only those can be repaired after a crash", file.Name())
	}
	size = info.Size()
	start, err := lastLine(file, size)
	if err != nil || start == size {
		return size, err
	}
	head := make([]byte, min(int64(len(lineStart)), size-start))
	if _, err := file.ReadAt(head, start); err != nil {
		return 0, err
	}
	hole := head[0] == 0 // the size reached the disk before the power failed, the bytes did not
	if hole || bytes.HasPrefix(lineStart, head) {
		return start, file.Truncate(start)
	}
	if _, err := file.WriteAt([]byte("\n"), size); err != nil {
		return 0, err
	}
	return size + 1, nil
}

// lastLine returns the offset after the last line break.
func lastLine(file *os.File, size int64) (int64, error) {
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(end-int64(len(block)), 0)
		piece := block[:end-start]
		if _, err := file.ReadAt(piece, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

func (s *fileSender) send(_ context.Context, b *batch) outcome {
	var lines bytes.Buffer
	for _, en := range b.entries {
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(en.Payload)
		if err != nil {
			return outcome{verdict: refused, kind: kindInvalid, err: fmt.Errorf("cannot be written as JSON: %w", err), certain: true}
		}
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return outcome{verdict: refused, kind: kindInvalid, err: fmt.Errorf("cannot be written as JSON: %w", err), certain: true}
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	if err := s.append(lines.Bytes()); err != nil {
		return classifyFile(err)
	}
	return outcome{}
}

func (s *fileSender) append(lines []byte) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if r := s.cfg.Rotation; r != nil && s.size > 0 && s.size+int64(len(lines)) > r.limit() {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	_, err := s.file.WriteAt(lines, s.size)
	if err == nil && s.cfg.Fsync {
		err = s.file.Sync()
	}
	if err != nil {
		// The disk is full, or worse. What was written of these lines is overwritten by the next attempt; cut it off for
		// those who read meanwhile. If that fails too, opening again repairs.
		if cut := s.file.Truncate(s.size); cut != nil {
			err = errors.Join(err, s.file.Close())
			s.file = nil
		}
		return err
	}
	s.size += int64(len(lines))
	return nil
}

// rotatedTime is the part that a rotation puts between name and extension, as in the Collector (lumberjack).
const rotatedTime = "2006-01-02T15-04-05.000"

func (s *fileSender) rotate() error {
	err := s.file.Close()
	s.file = nil
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if s.cfg.Rotation.LocalTime {
		now = now.Local()
	}
	stem, ext := s.stem()
	name := stem + "-" + now.Format(rotatedTime) + ext
	for exists(name) { // two rotations in a millisecond: renaming would replace the older
		now = now.Add(time.Millisecond)
		name = stem + "-" + now.Format(rotatedTime) + ext
	}
	if err := os.Rename(s.cfg.Path, name); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := s.prune(now); err != nil {
		s.logger.Warn("cannot remove old rotated files; the disk may fill up", "path", s.cfg.Path, "error", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// limit returns the size of a file in bytes.
func (r *FileRotation) limit() int64 {
	if r.MaxMegabytes == 0 {
		return 100 << 20
	}
	return int64(r.MaxMegabytes) << 20
}

func (s *fileSender) stem() (stem, ext string) {
	ext = filepath.Ext(s.cfg.Path)
	return strings.TrimSuffix(s.cfg.Path, ext), ext
}

// prune removes rotated files that are too many or too old. Only names that a rotation could have made are touched.
func (s *fileSender) prune(now time.Time) error {
	stem, ext := s.stem()
	entries, err := os.ReadDir(filepath.Dir(s.cfg.Path))
	if err != nil {
		return err
	}
	type rotated struct {
		name string
		at   time.Time
	}
	var files []rotated
	for _, entry := range entries {
		middle, ok := strings.CutPrefix(entry.Name(), filepath.Base(stem)+"-")
		if !ok {
			continue
		}
		middle, ok = strings.CutSuffix(middle, ext)
		if !ok {
			continue
		}
		if at, err := time.ParseInLocation(rotatedTime, middle, now.Location()); err == nil {
			files = append(files, rotated{entry.Name(), at})
		}
	}
	slices.SortFunc(files, func(a, b rotated) int { return b.at.Compare(a.at) })
	r := s.cfg.Rotation
	for i, f := range files {
		tooMany := r.MaxBackups > 0 && i >= r.MaxBackups
		tooOld := r.MaxDays > 0 && now.Sub(f.at) > time.Duration(r.MaxDays)*24*time.Hour
		if tooMany || tooOld {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(s.cfg.Path), f.name)))
		}
	}
	return err
}

func (s *fileSender) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
