package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/certificate/certificatetest"
	"postern/internal/config"
	"postern/internal/content"
)

// untilReady is a writer that calls end when it receives the ready line.
type untilReady struct {
	bytes.Buffer
	end   func()
	ready chan<- string // receives the address, unless nil
}

func (u *untilReady) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("ready url=")) {
		defer u.end()
		if u.ready != nil {
			_, url, _ := strings.Cut(string(p), "ready url=")
			u.ready <- strings.TrimSpace(url)
		}
	}
	return u.Buffer.Write(p)
}

// runUp runs `postern up` over a folder of its own until it is ready or has refused.
func runUp(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	return newPostern(t).up(args...)
}

// up runs `postern up` over the folder until it is ready or has refused.
func (p postern) up(args ...string) (status int, out, errs string) {
	p.t.Helper()
	for _, name := range config.Names() { // a flag sets them in this process
		p.t.Setenv(name, "")
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	o, e := untilReady{end: end}, bytes.Buffer{}
	env := &environment{in: strings.NewReader(""), out: &o, errs: &e}
	if !slices.Contains(args, "--listen") && !slices.Contains(args, "--listen-addr") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	status = env.run(ctx, append([]string{"up", "--data", p.data}, args...))
	return status, o.String(), e.String()
}

// newSystem is a folder in which `postern up` made a system.
func newSystem(t *testing.T) postern {
	t.Helper()
	p := newPostern(t)
	if status, _, errs := p.up(); status != exitDone {
		t.Fatalf("status %d: %s", status, errs)
	}
	return p
}

func TestUpSaysWhatItRunsWithAndNoSecret(t *testing.T) {
	status, out, errs := runUp(t, "--listen-addr", "127.0.0.1:0", "--sendgrid-api-key", "SG.hunter2",
		"--sendgrid-base-url", "http://127.0.0.1:9", "--alert-from", "a@clinic.example")
	if status != exitDone || !strings.Contains(out, "ready url=http://127.0.0.1:") {
		t.Fatalf("status %d, and says %s%s", status, out, errs)
	}
	for _, says := range []string{"config.LISTEN_ADDR=127.0.0.1:0", "config.ALERT_FROM=a@clinic.example", "config.SENDGRID_API_KEY=***"} {
		if !strings.Contains(errs, says) {
			t.Errorf("does not say %s:\n%s", says, errs)
		}
	}
	if strings.Contains(errs+out, "hunter2") {
		t.Errorf("says a secret:\n%s", errs)
	}
}

func TestUpNamesEveryWrongSettingAtOnce(t *testing.T) {
	status, out, errs := runUp(t, "--listen", "nowhere", "--sendgrid-api-key", "x", "--alert-from", "no-address",
		"--public-url", "clinic", "--retention-years", "0", "--alert-unknown-wait", "soon")
	if status != exitUsage || out != "" {
		t.Errorf("status %d, and prints %q", status, out)
	}
	for _, name := range []string{"LISTEN_ADDR", "ALERT_FROM", "PUBLIC_URL", "RETENTION_YEARS", "ALERT_UNKNOWN_WAIT"} {
		if strings.Count(errs, "  "+name) != 1 {
			t.Errorf("does not name %s once:\n%s", name, errs)
		}
	}
}

// A verb works on the system that the flags name.
func TestAVerbTakesSettingsAsFlags(t *testing.T) {
	p := newPostern(t)
	status, _, errs := p.run("", "staff", "list", "--database-url", "postgres://postern@127.0.0.1:1/none")
	if status != exitUsage || !strings.Contains(errs, "NATS_URL") {
		t.Errorf("status %d, and says %s", status, errs)
	}
}

// Keys and content in other places are used, and a lost key is not replaced by a new one, which
// could not read the content.
func TestUpUsesTheKeysThatItIsTold(t *testing.T) {
	dir := t.TempDir()
	key, kept := filepath.Join(dir, "kept.key"), filepath.Join(dir, "kept")
	status, _, errs := runUp(t, "--listen", "127.0.0.1:0", "--content-key-file", key)
	if _, err := os.Stat(key); status == exitDone || !strings.Contains(errs, key) || err == nil {
		t.Errorf("without the key: status %d, %v, and says %s", status, err, errs)
	}
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	status, out, errs := runUp(t, "--listen", "127.0.0.1:0", "--content-key-file", key, "--content-url", kept)
	if _, err := os.Stat(kept); status != exitDone || !strings.Contains(errs, "config.CONTENT_KEY_FILE="+key) || err != nil {
		t.Errorf("with the key: status %d, %v, and says %s%s", status, err, out, errs)
	}
}

// `up` serves plain HTTP to other machines only if something else encrypts it, and https with a
// certificate.
func TestUpServesOthersEncrypted(t *testing.T) {
	status, out, errs := runUp(t, "--listen", "0.0.0.0:0")
	if status != exitUsage || out != "" || !strings.Contains(errs, "LISTEN_ADDR") || !strings.Contains(errs, "--behind-proxy") {
		t.Errorf("in plain HTTP: status %d, and says %s%s", status, out, errs)
	}
	p := newPostern(t)
	if status, out, errs := p.up("--listen", "0.0.0.0:0", "--behind-proxy"); status != exitDone || !strings.Contains(out, "ready url=http://") || !strings.Contains(errs, "TRUSTED_PROXIES") {
		t.Errorf("behind a proxy: status %d, and says %s%s", status, out, errs)
	}
	certFile, keyFile := certificatetest.New(t).Issue(t, "portal.example.test")
	if status, out, errs := p.up("--listen", "0.0.0.0:0", "--tls-cert-file", certFile, "--tls-key-file", keyFile); status != exitDone || !strings.Contains(out, "ready url=https://") {
		t.Errorf("with a certificate: status %d, and says %s%s", status, out, errs)
	}
	if status, _, errs := p.up("--tls-cert-file", keyFile, "--tls-key-file", keyFile); status == exitDone || !strings.Contains(errs, "give a certificate and the key that belongs to it") {
		t.Errorf("with a wrong certificate: status %d, and says %s", status, errs)
	}
}

// The demo keeps to this machine, whatever the settings of a clinic are.
func TestTheDemoServesThisMachineAlone(t *testing.T) {
	certFile, keyFile := certificatetest.New(t).Issue(t, "portal.example.test")
	status, out, errs := runUp(t, "--demo", "--listen", "0.0.0.0:0", "--tls-cert-file", certFile, "--tls-key-file", keyFile)
	if status != exitUsage || out != "" || !strings.Contains(errs, "--demo serves only this machine") {
		t.Errorf("status %d, and says %s%s", status, out, errs)
	}
}
