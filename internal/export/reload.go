package export

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/config/configtls"
)

// reloadEvery is how often certificate files are looked at unless tls.reload_interval says otherwise.
const reloadEvery = 10 * time.Second

// reloading is a sender that is opened anew when the certificate files that it was opened with have changed: certificates and
// authorities are replaced while a process runs. The Collector's library reads a client certificate again if it is told
// to, but never the authority (ca_file) of a client.
type reloading struct {
	open   func() (sender, error)
	files  []string
	every  time.Duration
	logger *slog.Logger

	mu      sync.Mutex
	current *opened
	sum     [sha256.Size]byte // of the files that it was opened with
	looked  time.Time
}

// opened is a sender and how many requests use it. One that was replaced is closed by the last of them.
type opened struct {
	sender
	users    int
	replaced bool
}

// openReloading opens a sender, and makes it one that is opened anew if files are configured.
func openReloading(tls *configtls.ClientConfig, logger *slog.Logger, open func() (sender, error)) (sender, error) {
	r := &reloading{open: open, every: reloadEvery, logger: logger, looked: time.Now()}
	if tls != nil {
		for _, file := range []string{tls.CAFile, tls.CertFile, tls.KeyFile} {
			if file != "" {
				r.files = append(r.files, file)
			}
		}
		if tls.ReloadInterval > 0 {
			r.every = tls.ReloadInterval
		}
	}
	if len(r.files) == 0 {
		return open()
	}
	// Before they are opened: what changes in between is seen next time.
	sum, err := r.read()
	if err != nil {
		return nil, err
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	r.sum, r.current = sum, &opened{sender: s}
	return r, nil
}

// read sums the files up. They are small.
func (r *reloading) read() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, file := range r.files {
		data, err := os.ReadFile(file)
		if err != nil {
			return sum, err
		}
		part := sha256.Sum256(data)
		_, _ = h.Write(part[:]) // never fails
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func (r *reloading) send(ctx context.Context, b *batch) outcome {
	o := r.use(time.Now())
	out := o.send(ctx, b)
	r.mu.Lock()
	o.users--
	last := o.replaced && o.users == 0
	r.mu.Unlock()
	if last {
		r.retire(o)
	}
	return out
}

// use returns the sender of the files as they are. If they cannot be used the one before goes on: they may be half written.
func (r *reloading) use(now time.Time) *opened {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.looked) >= r.every {
		r.looked = now
		if err := r.reload(); err != nil {
			r.logger.Warn("certificate files cannot be read again; those that were read before are used", "files", r.files, "error", err)
		}
	}
	r.current.users++
	return r.current
}

func (r *reloading) reload() error {
	sum, err := r.read()
	if err != nil || sum == r.sum {
		return err
	}
	s, err := r.open()
	if err != nil {
		return err
	}
	before := r.current
	r.sum, r.current = sum, &opened{sender: s}
	before.replaced = true
	if before.users == 0 {
		r.retire(before)
	}
	r.logger.Info("certificate files have changed and are used from now on", "files", r.files)
	return nil
}

func (r *reloading) retire(o *opened) {
	if err := o.close(); err != nil {
		r.logger.Warn("connections with the certificates of before did not close well", "error", err)
	}
}

func (r *reloading) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.close()
}
