package receive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"thresher/internal/wire"
)

// Settings is what a receiver needs besides its configuration.
type Settings struct {
	// Name under `receivers:`, for messages: otlp or otlp/name.
	Name string
	// Partitions of the log. At least 1.
	Partitions int
	// MaxFragment is the most bytes that the Publisher takes in one fragment. Larger fragments are cut, and a span
	// that alone is larger is refused by partial success. 0: no limit.
	MaxFragment int
	// Publisher stores what is received.
	Publisher Publisher
	// Memory is what this receiver and others may hold together.
	Memory *Memory
	// Logger gets a line when serving begins and ends, and at most one in ten seconds of each kind of trouble.
	Logger *slog.Logger
}

// maxPooled is the most memory of each kind that a pooled request keeps, whatever the memory for receiving.
const maxPooled = 8 << 20

// maxHeaderBytes bounds the headers of a request. Those of OTLP clients are a few hundred bytes.
const maxHeaderBytes = 32 << 10

// A Receiver serves OTLP on one or two addresses. Its methods may be called from any goroutine.
type Receiver struct {
	name      string
	config    Config
	publisher Publisher
	log       *slog.Logger

	account    account
	requests   requestPool
	gate       *gate
	grpcCounts counts
	httpCounts counts
	rejects    notice
	failures   notice
	crowds     notice
	signals    signalsSeen
	working    chan struct{} // has an element for each request that is being decompressed, transcoded or split

	// stopping ends when requests in flight are no longer waited for.
	stopping context.Context
	giveUp   context.CancelFunc

	mu           sync.Mutex
	state        state
	grpc         *grpc.Server
	http         *http.Server
	grpcListener *trackedListener
	httpListener net.Listener
	serving      sync.WaitGroup // the two Serve goroutines
}

type state uint8

const (
	fresh state = iota
	started
	stopped
)

// New returns a receiver that does not listen yet.
func New(c Config, s Settings) (*Receiver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("receiver %s: %w", s.Name, err)
	}
	if s.Partitions < 1 || s.Publisher == nil || s.Logger == nil || s.Memory == nil {
		return nil, fmt.Errorf("receiver %s: needs partitions (got %d), a publisher, memory and a logger", s.Name, s.Partitions)
	}
	r := &Receiver{
		name:      s.Name,
		config:    c,
		publisher: s.Publisher,
		log:       s.Logger.With("receiver", s.Name),
		gate:      newGate(),
	}
	r.account.limit, r.account.memory = s.Memory.requests.limit, s.Memory
	if c.MaxInflightBytes > 0 {
		r.account.limit = min(r.account.limit, int64(c.MaxInflightBytes))
	}
	r.requests.account = &r.account
	r.requests.keep = int(min(maxPooled, r.account.most()/64))
	r.working = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	r.requests.options = wire.SplitOptions{Partitions: s.Partitions, MaxFragment: s.MaxFragment, Deep: true}
	r.stopping, r.giveUp = context.WithCancel(context.Background())
	return r, nil
}

// Start listens on every configured address and serves until Shutdown. If one address cannot be had, none is served
// and the error says which and why. A receiver starts once.
func (r *Receiver) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != fresh {
		return fmt.Errorf("receiver %s: a receiver starts once", r.name)
	}
	if err := r.listen(ctx); err != nil {
		r.closeListeners()
		return err
	}
	r.state = started
	if r.grpc != nil {
		r.serving.Go(func() { r.serve("grpc", r.grpcListener, r.grpc.Serve) })
	}
	if r.http != nil {
		r.serving.Go(func() { r.serve("http", r.httpListener, r.http.Serve) })
	}
	return nil
}

func (r *Receiver) serve(protocol string, l net.Listener, serve func(net.Listener) error) {
	r.log.Info("Receiving OTLP traces", "protocol", protocol, "address", l.Addr().String())
	err := serve(l)
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
		r.log.Error("The OTLP receiver stopped accepting connections; restart the node", "protocol", protocol, "error", err)
	}
}

// listen makes servers and listeners. Certificates are read before any address is taken.
func (r *Receiver) listen(ctx context.Context) error {
	settings := telemetry(r.log)
	if c := r.config.Protocols.GRPC.Get(); c != nil {
		s, err := c.ToServer(ctx, extensions(), settings,
			configgrpc.WithGrpcServerOption(grpc.ForceServerCodecV2(rawCodec{})),
			configgrpc.WithGrpcServerOption(experimental.BufferPool(newCountedBuffers(r.account.memory))),
			configgrpc.WithGrpcServerOption(grpc.MaxRecvMsgSize(r.messageLimit(c.MaxRecvMsgSizeMiB))),
			configgrpc.WithGrpcServerOption(grpc.MaxHeaderListSize(maxHeaderBytes)))
		if err != nil {
			return fmt.Errorf("%s: %w", r.setting("protocols.grpc"), err)
		}
		r.registerServices(s)
		r.grpc = s
	}
	if c := r.config.Protocols.HTTP.Get(); c != nil {
		s, err := r.httpServer(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", r.setting("protocols.http"), err)
		}
		r.http = s
	}
	if r.grpc != nil {
		c := r.config.Protocols.GRPC.Get()
		l, err := c.NetAddr.Listen(ctx)
		if err != nil {
			return r.listenError("grpc", c.NetAddr.Endpoint, err)
		}
		r.grpcListener = track(l, r.account.memory, r.crowded)
	}
	if r.http != nil {
		c := &r.config.Protocols.HTTP.Get().ServerConfig
		l, err := c.ToListener(ctx)
		if err != nil {
			return r.listenError("http", c.NetAddr.Endpoint, err)
		}
		r.httpListener = l
	}
	return nil
}

// messageLimit returns how large a gRPC message may be: as configured, unless there is no memory for that.
func (r *Receiver) messageLimit(configuredMiB int) int {
	limit := int64(configuredMiB) << 20
	if limit <= 0 {
		limit = 4 << 20 // gRPC's own
	}
	most := r.account.largestMessage()
	if limit <= most {
		return int(limit)
	}
	r.log.Warn("gRPC messages may not be as large as "+r.setting("protocols.grpc.max_recv_msg_size_mib")+
		" says: node.memory_limit leaves no room for them", "configured", ByteSize(limit), "largest", ByteSize(most))
	return int(most)
}

func (r *Receiver) crowded() {
	r.crowds.log(func(suppressed int64) {
		r.log.Warn("There is no memory for more connections; new ones are closed. Raise node.memory_limit, or send through a Collector",
			"connection_bytes", r.account.memory.connections.used.Load(), "connections_like_it_since_last_log", suppressed)
	})
}

func (r *Receiver) listenError(protocol, endpoint string, err error) error {
	key := r.setting("protocols." + protocol + ".endpoint")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is already in use; stop the program that listens there (another Thresher or Collector?) or choose another port: %w", key, endpoint, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: no permission to listen on %s; ports below 1024 are for root: %w", key, endpoint, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine; 0.0.0.0 stands for all of them: %w", key, endpoint, err)
	}
	return fmt.Errorf("%s: cannot listen on %s: %w", key, endpoint, err)
}

// setting names a key of this receiver as it stands in the configuration file.
func (r *Receiver) setting(key string) string { return "receivers." + r.name + "." + key }

func (r *Receiver) httpServer(ctx context.Context, c *HTTPConfig) (*http.Server, error) {
	e := &traceEndpoint{r: r, config: c}
	if cors := c.ServerConfig.CORS.Get(); cors != nil && len(cors.AllowedHeaders) > 0 {
		// The Collector documents Content-Type as always allowed, and browsers ask for it with every export.
		allowed := *cors
		allowed.AllowedHeaders = slices.Concat(cors.AllowedHeaders, []string{"Content-Type"})
		c.ServerConfig.CORS = configoptional.Some(allowed)
	}
	options := append(leaveCompressed(&c.ServerConfig), confighttp.WithErrorHandler(e.undecodable))
	s, err := c.ServerConfig.ToServer(ctx, extensions(), telemetry(r.log), e, options...)
	if err != nil {
		return nil, err
	}
	// confighttp has put its default in.
	e.maxBody = c.ServerConfig.MaxRequestBodySize
	s.MaxHeaderBytes = maxHeaderBytes
	s.ConnState = (&httpConnections{memory: r.account.memory, refused: r.crowded, open: map[net.Conn]bool{}}).changed
	s.BaseContext = func(net.Listener) context.Context { return r.stopping }
	// Mostly connections that are given up in the TLS handshake: port scanners and health checks.
	s.ErrorLog = slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)
	return s, nil
}

// closeListeners gives the addresses back that a failed Start has taken. No connection was accepted.
func (r *Receiver) closeListeners() {
	if r.grpcListener != nil {
		_ = r.grpcListener.Close()
		r.grpcListener = nil
	}
	if r.httpListener != nil {
		_ = r.httpListener.Close()
		r.httpListener = nil
	}
}

// GRPCAddr returns the address that gRPC is served on, nil if it is not.
func (r *Receiver) GRPCAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grpcListener == nil {
		return nil
	}
	return r.grpcListener.Addr()
}

// HTTPAddr returns the address that HTTP is served on, nil if it is not.
func (r *Receiver) HTTPAddr() net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.httpListener == nil {
		return nil
	}
	return r.httpListener.Addr()
}
