package eventlog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"postern/internal/backoff"
	"postern/internal/certificate"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how a process connects to the record.
type Config struct {
	// URL names the NATS servers, separated by commas, with user and password:
	// "nats://api:secret@127.0.0.1:4222". It is a secret.
	URL string
	// TLS encrypts the connection, if any of its fields is set or the URL begins with tls://.
	TLS TLS
	// CredentialsFile has a user's JWT and key (a .creds file), in place of a password in URL.
	CredentialsFile string
	// Name is the connection's name in the server's log.
	Name string
	// Logger may be nil.
	Logger *slog.Logger
}

// TLS names files with certificates, all as PEM. Each may be empty.
type TLS struct {
	// CAFile is the authority that signed the servers' certificates; empty: those of this machine.
	CAFile string
	// CertFile and KeyFile are the certificate of this process and its key, for servers that ask
	// for one. They are read again for each connection.
	CertFile, KeyFile string
}

// Log is a process's connection to the record.
type Log struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
	own bool // whether Close closes nc
}

// Connect connects to NATS. It retries until ctx ends, and after a later loss
// the connection reconnects without limit. The caller closes the Log.
func Connect(ctx context.Context, c Config) (*Log, error) {
	log := orDiscard(c.Logger)
	if err := checkURL(c.URL); err != nil {
		return nil, err
	}
	options, err := c.options(log)
	if err != nil {
		return nil, err
	}
	var logged string
	for pause := backoff.NewPause(); ; {
		nc, err := nats.Connect(c.URL, options...)
		if err == nil {
			l := New(nc, log)
			l.own = true
			if _, err := nc.TLSConnectionState(); err != nil && !isLocal(nc.ConnectedUrlRedacted()) {
				log.Warn("the connection to NATS crosses the network unencrypted: set NATS_CA_FILE, and tls in the server's configuration")
			}
			return l, nil
		}
		if err = settings.Explain(err); err.Error() != logged {
			logged = err.Error()
			log.Warn("waiting for NATS", "reason", logged)
		}
		if pause.Wait(ctx) != nil {
			return nil, fmt.Errorf("connecting to NATS: %w: is NATS_URL right, and the server running?", errors.Join(ctx.Err(), err))
		}
	}
}

// New makes a Log over an existing connection, which the caller closes. The
// connection must reconnect by itself, or [Log.Read] stops after a loss.
func New(nc *nats.Conn, log *slog.Logger) *Log {
	js, err := jetstream.New(nc)
	if err != nil {
		panic("eventlog: " + err.Error()) // only wrong options fail, and there are none
	}
	return &Log{nc: nc, js: js, log: orDiscard(log)}
}

// Close closes the connection if [Connect] made it.
func (l *Log) Close() {
	if l.own {
		_ = l.nc.FlushTimeout(time.Second) // what is lost here is delivered again
		l.nc.Close()
	}
}

// JetStream gives direct access to JetStream, for repair and for tests.
func (l *Log) JetStream() jetstream.JetStream { return l.js }

// Logger is where the log reports its faults; never nil.
func (l *Log) Logger() *slog.Logger { return l.log }

// Connected reports whether the connection to NATS is up now.
func (l *Log) Connected() bool { return l.nc.IsConnected() }

// Reconnected gives a channel that receives a value at each reconnection to NATS,
// until stop is called.
func (l *Log) Reconnected() (again <-chan nats.Status, stop func()) {
	status := l.nc.StatusChanged(nats.CONNECTED)
	return status, func() { l.nc.RemoveStatusListener(status) }
}

// State is the state that the server reports for the stream.
type State struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Msgs    uint64 `json:"msgs"`
	Deleted int    `json:"deleted"`
	Bytes   uint64 `json:"bytes"`
}

// State asks the stream for its state.
func (l *Log) State(ctx context.Context) (State, error) {
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return State{}, fmt.Errorf("asking for the stream's state: %w", err)
	}
	s := stream.CachedInfo().State
	return State{First: s.FirstSeq, Last: s.LastSeq, Msgs: s.Msgs, Deleted: s.NumDeleted, Bytes: s.Bytes}, nil
}

// Replicas gives the stream's number of replicas.
func (l *Log) Replicas(ctx context.Context) (int, error) {
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return 0, fmt.Errorf("asking for the stream's replicas: %w", err)
	}
	return stream.CachedInfo().Config.Replicas, nil
}

// Exists reports whether the stream exists.
func (l *Log) Exists(ctx context.Context) (bool, error) {
	_, err := l.js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the stream: %w", err)
	}
	return true, nil
}

// Stored is an event as the stream stores it.
type Stored struct {
	Seq     uint64
	Subject string
	Header  nats.Header
	Data    []byte
}

// ErrNotFound says that the record has no event with that sequence.
var ErrNotFound = errors.New("no such event on the record")

// Get reads one event. Errors wrap [ErrNotFound] if there is none.
func (l *Log) Get(ctx context.Context, seq uint64) (Stored, error) {
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return Stored{}, fmt.Errorf("reading event %d: %w", seq, err)
	}
	m, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Stored{}, fmt.Errorf("reading event %d: %w", seq, ErrNotFound)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("reading event %d: %w", seq, err)
	}
	return Stored{Seq: m.Sequence, Subject: m.Subject, Header: m.Header, Data: m.Data}, nil
}

// checkURL finds errors that no retry fixes. Its errors leave out the URL, which
// holds a password.
func checkURL(list string) error {
	if list == "" {
		return errors.New("connecting to NATS: NATS_URL is empty; it should look like nats://user:password@host:4222")
	}
	for i, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		if u, err := url.Parse(s); err != nil || u.Host == "" {
			return fmt.Errorf("connecting to NATS: address %d in NATS_URL can't be read; it should look like nats://user:password@host:4222", i+1)
		}
	}
	return nil
}

// settings are those of the connection, for the operator.
var settings = certificate.Settings{Address: "NATS_URL", Authority: "NATS_CA_FILE", Certificate: "NATS_CERT_FILE", Key: "NATS_KEY_FILE"}

// options returns the options of the connection. It reads the files once, so that a wrong one is
// an error at the start.
func (c Config) options(log *slog.Logger) ([]nats.Option, error) {
	all := options(c.Name, log)
	if c.CredentialsFile != "" {
		if _, err := os.Stat(c.CredentialsFile); err != nil {
			return nil, fmt.Errorf("connecting to NATS: NATS_CREDENTIALS_FILE must name a file that this process can read: %w", err)
		}
		all = append(all, nats.UserCredentials(c.CredentialsFile))
	}
	if c.TLS == (TLS{}) {
		return all, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.CAFile != "" {
		authorities, err := os.ReadFile(c.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("connecting to NATS: NATS_CA_FILE must name a file that this process can read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("connecting to NATS: %s in NATS_CA_FILE has no certificate in PEM", c.TLS.CAFile)
		}
	}
	if c.TLS.CertFile != "" {
		read := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("connecting to NATS: NATS_CERT_FILE and NATS_KEY_FILE must name a certificate and its key: %w", err)
			}
			return &pair, nil
		}
		if _, err := read(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	return append(all, nats.Secure(config)), nil
}

// isLocal reports whether a server's address is of this machine.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func options(name string, log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.Timeout(2 * time.Second),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.IgnoreAuthErrorAbort(), // a server that restarts may not know its users yet
		nats.ReconnectBufSize(-1),   // while disconnected, fail at once: this package retries
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost NATS", "reason", settings.Explain(err).Error())
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("reached NATS again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reports an error", "reason", err.Error())
		}),
	}
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
