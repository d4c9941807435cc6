package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordOverhead is more than a record batch adds to the one value and header in it.
const recordOverhead = 1 << 10

var (
	// ErrTooLarge says that a value does not fit into a record of its topic. Sending it again does not help.
	ErrTooLarge = errors.New("too large for a Kafka record")
	// ErrTimeout says that Kafka did not acknowledge in time. The data may or may not be in the log.
	ErrTimeout = errors.New("no acknowledgement by Kafka in time")
	// ErrFull says that the bytes that wait for Kafka have reached their bound.
	ErrFull = errors.New("too many bytes wait for Kafka")
	// ErrClosed says that the part has been closed.
	ErrClosed = errors.New("closed")
)

// A FatalError needs a person: Kafka refuses us, or what is there does not fit the configuration.
type FatalError struct{ Err error }

func (e *FatalError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *FatalError) Unwrap() error { return e.Err }

func fatalf(format string, args ...any) error { return &FatalError{fmt.Errorf(format, args...)} }

// IsFatal reports whether waiting cannot help: a wrong topic, a wrong password, a missing permission, a certificate
// that does not verify.
func IsFatal(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*FatalError](err); ok {
		return true
	}
	for _, e := range []error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.InvalidConfig, kerr.PolicyViolation, kerr.InvalidTopicException, kerr.UnsupportedVersion,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	// Such as: certificate required. crypto/tls has no exported type for what the other side complains about.
	oe, ok := errors.AsType[*net.OpError](err)
	return ok && oe.Op == "remote error"
}

// IsRetryable reports whether sending the same again later can help. It is what a receiver turns into UNAVAILABLE or
// 503; everything else is the fault of the data.
func IsRetryable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	return !tooLarge(err) && !errors.Is(err, kerr.InvalidRecord) && !errors.Is(err, kerr.CorruptMessage)
}

func tooLarge(err error) bool {
	return errors.Is(err, ErrTooLarge) || errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// deliveryError gives errors of franz-go's producer the names of this package.
func deliveryError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.Is(err, kgo.ErrMaxBuffered):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("producer: %w", ErrClosed)
	case tooLarge(err):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}
