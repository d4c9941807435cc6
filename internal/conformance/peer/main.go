// Command peer decides traces with the OpenTelemetry Collector's tail_sampling processor.
//
// It is a program and a module of its own because the processor and Thresher need versions of pkg/ottl that exclude each
// other, and because some configurations crash the processor: then only this program ends.
//
// It answers requests on standard input, one after the other, on standard output. All numbers are unsigned varints, all texts
// and byte strings have their length in front.
//
//	request:  configuration (YAML, the content of a tail_sampling block), number of batches, each batch (OTLP)
//	response: error (empty: none), number of verdicts, each: 16 bytes of trace ID, decision, policy
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

func main() {
	if err := serve(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// serve answers requests until the input ends.
func serve(in *bufio.Reader, out *bufio.Writer) error {
	for {
		config, err := readBytes(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		batches, err := readBatches(in)
		if err != nil {
			return err
		}
		verdicts, err := decide(config, batches)
		if err := respond(out, verdicts, err); err != nil {
			return err
		}
	}
}

func readBatches(in *bufio.Reader) ([]ptrace.Traces, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, noEnd(err)
	}
	batches := make([]ptrace.Traces, n)
	for i := range batches {
		b, err := readBytes(in)
		if err != nil {
			return nil, noEnd(err)
		}
		var decoder ptrace.ProtoUnmarshaler
		if batches[i], err = decoder.UnmarshalTraces(b); err != nil {
			return nil, fmt.Errorf("batch %d: %w", i, err)
		}
	}
	return batches, nil
}

// noEnd says that the input ended where it must not.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readBytes(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(in, b)
	return b, err
}

func respond(out *bufio.Writer, verdicts []verdict, failure error) error {
	text := ""
	if failure != nil {
		text = failure.Error()
	}
	b := appendText(nil, text)
	b = binary.AppendUvarint(b, uint64(len(verdicts)))
	for _, v := range verdicts {
		b = append(b, v.id[:]...)
		b = appendText(b, v.decision)
		b = appendText(b, v.policy)
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	return out.Flush()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
