package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// readEvery is how often the files are read again.
const readEvery = time.Minute

// Files is a certificate with its key, in two files. It is safe for concurrent use.
//
// A new pair that can't be used never replaces one that can: the old one stays, the log says why,
// and [Files.Fault] has the reason until the files are right.
type Files struct {
	certFile, keyFile string
	log               *slog.Logger

	mu    sync.Mutex
	pair  *tls.Certificate
	fault error
}

// Load reads the certificate, with its chain, and the key, both as PEM.
func Load(certFile, keyFile string, log *slog.Logger) (*Files, error) {
	f := &Files{certFile: certFile, keyFile: keyFile, log: log}
	var err error
	f.pair, err = f.read()
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Files) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s and its key %s: %w: give a certificate and the key that belongs to it, both as PEM", f.certFile, f.keyFile, err)
	}
	return &pair, nil
}

// TLS returns a configuration for a server with the certificate. Its versions and ciphers are
// Go's defaults.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil }}
}

// current returns the certificate in use.
func (f *Files) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pair
}

// Run reads the files again every minute, until ctx ends.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.Reload()
		}
	}
}

// Reload reads the files again now.
func (f *Files) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	pair, err := f.read()
	changed := err == nil && !pair.Leaf.Equal(f.pair.Leaf)
	if changed && expired(pair) {
		err = fmt.Errorf("reading the certificate %s: it has expired: give one that is valid", f.certFile)
	}
	switch {
	case err != nil:
		if f.fault == nil || f.fault.Error() != err.Error() {
			f.log.Error("the new certificate can't be used, and the former one stays", "reason", err)
		}
		f.fault = err
		return
	case changed:
		f.log.Info("a new certificate is used", "expires", pair.Leaf.NotAfter)
	}
	f.pair, f.fault = pair, nil
}

func expired(pair *tls.Certificate) bool { return pair.Leaf.NotAfter.Before(time.Now()) }

// Expires returns when the certificate that is in use expires.
func (f *Files) Expires() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pair.Leaf.NotAfter
}

// Fault returns why the files' certificate is not in use, or that the one in use has expired.
func (f *Files) Fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil && expired(f.pair) {
		return errors.New("the certificate has expired: replace " + f.certFile + " and " + f.keyFile)
	}
	return f.fault
}
