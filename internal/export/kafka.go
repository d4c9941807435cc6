package export

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// kafkaSender writes one record a trace. Records of a batch succeed or fail one by one.
type kafkaSender struct {
	client *kgo.Client
	topic  string
	dial   *dialErrors
}

func openKafka(ctx context.Context, cfg *KafkaConfig) (*kafkaSender, error) {
	dial := &dialErrors{}
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.SoftwareNameAndVersion(userAgent, "1"),
		kgo.DisableClientMetrics(),
		kgo.WithHooks(dial),
		// The partition that Sarama's hash partitioner chooses, which the Collector's exporter imitates: its consumers find
		// a trace in one partition whoever wrote it.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(fnv32a))),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(compressionOf(cfg.Compression)),
		kgo.ProducerBatchMaxBytes(int32(cfg.MaxMessageBytes)),
		kgo.ProducerLinger(2 * time.Millisecond), // batches are formed before they come here
		kgo.MaxBufferedRecords(cfg.Batching.MaxInFlight * cfg.Batching.MaxBatchTraces),
		// Retries are the exporter's, which counts them and tells. This is how long the client goes on by itself.
		kgo.RecordDeliveryTimeout(cfg.Timeout),
	}
	if cfg.TLS != nil {
		tlsConfig, err := cfg.TLS.LoadTLSConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		if tlsConfig == nil && !cfg.TLS.Insecure {
			tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if tlsConfig != nil {
			opts = append(opts, kgo.DialTLSConfig(tlsConfig))
		}
	}
	if cfg.SASL != nil {
		opts = append(opts, kgo.SASL(mechanismOf(cfg.SASL)))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &kafkaSender{client: client, topic: cfg.Topic, dial: dial}, nil
}

func fnv32a(b []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(b) // never fails
	return h.Sum32()
}

func compressionOf(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func mechanismOf(cfg *SASLConfig) sasl.Mechanism {
	switch cfg.Mechanism {
	case "SCRAM-SHA-256":
		return scram.Auth{User: cfg.Username, Pass: string(cfg.Password)}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: cfg.Username, Pass: string(cfg.Password)}.AsSha512Mechanism()
	}
	return plain.Auth{User: cfg.Username, Pass: string(cfg.Password)}.AsMechanism()
}

func (s *kafkaSender) send(ctx context.Context, b *batch) outcome {
	records := make([]kgo.Record, len(b.entries))
	keys := make([]byte, 2*len(b.entries[0].TraceID)*len(b.entries))
	results := make([]error, len(b.entries))
	var left atomic.Int64
	left.Store(int64(len(records)))
	answered := make(chan struct{})
	for i, en := range b.entries {
		width := 2 * len(en.TraceID)
		key := keys[i*width : (i+1)*width]
		hex.Encode(key, en.TraceID[:])
		records[i] = kgo.Record{Topic: s.topic, Key: key, Value: en.Payload}
		s.client.Produce(ctx, &records[i], func(_ *kgo.Record, err error) {
			results[i] = err
			if left.Add(-1) == 0 {
				close(answered)
			}
		})
	}
	select {
	case <-answered:
	case <-ctx.Done(): // records on the wire cannot be called back; closing the client ends the wait for them
		return outcome{verdict: again, kind: kindTimeout, err: ctx.Err()}
	}
	return s.judge(results)
}

// judge sums the answers up. Trouble with a record comes before trouble with the broker: the batch is taken apart, what
// only has to be tried again is tried again on the way, and what was accepted is not sent twice.
func (s *kafkaSender) judge(results []error) outcome {
	worst := outcome{}
	failed := false
	for _, err := range results {
		if err == nil {
			continue
		}
		out := classifyKafka(err)
		if !failed || worst.verdict == again && out.verdict != again {
			worst, failed = out, true
		}
	}
	if !failed {
		return outcome{}
	}
	worst.done = make([]bool, len(results))
	for i, err := range results {
		worst.done[i] = err == nil
	}
	if cause := s.dial.last(); cause != nil && worst.kind == kindTimeout {
		worst.kind = kindUnreachable
		worst.err = fmt.Errorf("%w; %s", worst.err, brief(cause.Error()))
	}
	return worst
}

func (s *kafkaSender) close() error {
	s.client.Close()
	return nil
}

// dialErrors remembers why the brokers could not be reached: the client itself only says that time was up.
type dialErrors struct{ err atomic.Pointer[error] }

// OnBrokerConnect is called after every attempt to connect.
func (d *dialErrors) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		d.err.Store(nil)
	case !errors.Is(err, context.Canceled):
		d.err.Store(&err)
	}
}

func (d *dialErrors) last() error {
	if err := d.err.Load(); err != nil {
		return *err
	}
	return nil
}
