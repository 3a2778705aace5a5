package signer_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/proof/checkpoint"
	"postern/internal/proof/signer"
	"postern/internal/store/bucket/s3test"
)

// watched is a log in which a test waits for messages.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.grew <- struct{}{}:
	default:
	}
	return w.text.Write(p)
}

func (w *watched) awaits(t *testing.T, want string) {
	t.Helper()
	for {
		w.mu.Lock()
		text := w.text.String()
		w.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-w.grew:
		case <-t.Context().Done():
			t.Fatal("the test ended")
		}
	}
}

// runs starts the signer, and returns its log and a function that stops it.
func (c *clinic) runs(t *testing.T) (*watched, func()) {
	t.Helper()
	log := &watched{grew: make(chan struct{}, 1)}
	c.Logger = slog.New(slog.NewTextHandler(log, nil))
	c.Every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx, soleLease{}) }()
	return log, func() { cancel(); <-done }
}

// until polls until another goroutine has reached a state.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

// An archive on S3 that fails while the signer runs, in any way, does not stop the signing.
// The log shows how far the archive is behind and why. When it works again, it gets
// everything that was signed during the failure, in order and once.
func TestAFailingArchiveDoesNotStopSigning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault s3test.Fault
		says  string
	}{
		"away":             {s3test.Unreachable, "trying again"},
		"read-only":        {s3test.ReadOnly, "its policy does not allow that"},
		"overloaded":       {s3test.Refuses(http.StatusServiceUnavailable, "SlowDown"), "SlowDown"},
		"credentials gone": {s3test.Refuses(http.StatusForbidden, "InvalidAccessKeyId"), "set AWS_ACCESS_KEY_ID"},
		"never answers":    {s3test.Hangs, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := s3test.New(t)
			clinic := newClinicAt(t, s3.URL)
			log, stop := clinic.runs(t)
			outside := func() int {
				all, foreign, err := clinic.Archive.Checkpoints(t.Context())
				if err != nil || len(foreign) > 0 {
					t.Fatal(foreign, err)
				}
				return len(all)
			}
			clinic.grow(t, clinic.pool, 2, 10, "a")
			until(t, "the first checkpoint", func() bool { return outside() == 1 })

			s3.Fail(c.fault)
			for signed := 2; signed < 5; signed++ {
				clinic.grow(t, clinic.pool, 2, 10, "a")
				until(t, "the checkpoint", func() bool { return clinic.count(t, signedSoFar) == signed })
			}
			log.awaits(t, c.says)
			if clinic.Behind() == 0 {
				t.Error("Behind does not show that the archive is behind")
			}
			if name == "never answers" { // requestTimeout is a minute, so here another process takes over instead
				stop()
				clinic.restart(t)
				s3.Fail(nil)
				_, stop = clinic.runs(t)
			}
			s3.Fail(nil)
			until(t, "the archive to catch up", func() bool { return outside() == 4 })
			stop()
			if clinic.Behind() != 0 {
				t.Error("a stopped signer reports that the archive is behind")
			}
		})
	}
}

// Only the archive shows a rollback. So nothing is signed while it can't be read at the
// start, and the log has the reason.
func TestNothingIsSignedUntilTheArchiveAnswers(t *testing.T) {
	t.Parallel()
	s3 := s3test.New(t)
	c := newClinicAt(t, s3.URL)
	c.grow(t, c.pool, 2, 10, "a")
	s3.Fail(s3test.Unreachable)
	log, stop := c.runs(t)
	defer stop()
	log.awaits(t, "no checkpoint is signed until the archive answers")
	if n := c.count(t, signedSoFar); n != 0 {
		t.Errorf("%d checkpoints were signed", n)
	}
	s3.Fail(nil)
	until(t, "the first checkpoint", func() bool {
		all, _, err := c.Archive.Checkpoints(t.Context())
		return err == nil && len(all) == 1
	})
}

// With a clock that was ahead or is set back, Latest still finds the last signed checkpoint.
func TestTheLatestCheckpointAfterAClockWasSetBack(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for _, days := range []string{"400 days", "0 days", "-400 days"} {
		c.grow(t, c.pool, 2, 10, "a")
		keys, err := checkpoint.ReadKeyFile(c.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		signing, err := signer.New(signer.Config{Pool: c.pool, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		if err := signing.Attest(t.Context(), soleLease{}); err != nil { // signs, and archives nothing
			t.Fatal(err)
		}
		c.admin(t, `UPDATE app.checkpoints SET signed_at = signed_at + $1::interval WHERE nr = (SELECT max(nr) FROM app.checkpoints)`, days)
		c.restart(t)
		c.must(t)
	}
	latest, err := c.Archive.Latest(t.Context())
	if err != nil || latest.Size != 6 {
		t.Errorf("the latest is %+v, %v", latest, err)
	}
}

// The signer remembers the last checkpoint that it signed. Deleting its row in Postgres does
// not get another history signed.
func TestDeletingCheckpointsGetsNoSecondHistorySigned(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.grow(t, c.pool, 5, 10, "a")
	c.must(t)
	c.admin(t, `TRUNCATE app.checkpoints`)
	c.admin(t, `UPDATE record.hashes SET hash = sha256('x')`)
	c.grow(t, c.pool, 1, 10, "b")
	if err := c.Attest(t.Context(), soleLease{}); err == nil || !strings.Contains(err.Error(), signer.ErrOtherHistory.Error()) {
		t.Errorf("Attest returned %v", err)
	}
}

func (c *clinic) admin(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := c.asAdmin(t).Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
