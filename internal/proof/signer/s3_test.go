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

// watched is a log that a test waits on.
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

func (w *watched) says(t *testing.T, want string) {
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

// runs starts the notary and gives its log and how to stop it.
func (c *clinic) runs(t *testing.T) (*watched, func()) {
	t.Helper()
	log := &watched{grew: make(chan struct{}, 1)}
	c.Logger = slog.New(slog.NewTextHandler(log, nil))
	c.Every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx, alone{}) }()
	return log, func() { cancel(); <-done }
}

// until polls what another goroutine brings about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// An archive on S3 that fails in the middle, in whichever way, stops nobody from
// signing; it is said how far it is behind and why, and when it is back it gets
// everything that was signed meanwhile, in order and once.
func TestAnArchiveThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault s3test.Fault
		says  string
	}{
		"away":             {s3test.Away, "it is tried again"},
		"read-only":        {s3test.ReadOnly, "its policy does not allow that"},
		"overloaded":       {s3test.Refuses(http.StatusServiceUnavailable, "SlowDown"), "SlowDown"},
		"credentials gone": {s3test.Refuses(http.StatusForbidden, "InvalidAccessKeyId"), "set AWS_ACCESS_KEY_ID"},
		"never answers":    {s3test.Hangs, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := s3test.New(t)
			clinic := foundAt(t, s3.URL)
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
				until(t, "it to be signed", func() bool { return clinic.count(t, signedSoFar) == signed })
			}
			log.says(t, c.says)
			if clinic.Behind() == 0 {
				t.Error("it is not said that the archive is behind")
			}
			if name == "never answers" { // within is a minute: here another process takes over
				stop()
				clinic.restart(t)
				s3.Fail(nil)
				_, stop = clinic.runs(t)
			}
			s3.Fail(nil)
			until(t, "the archive to catch up", func() bool { return outside() == 4 })
			stop()
			if clinic.Behind() != 0 {
				t.Error("a notary that has ended says that the archive is behind")
			}
		})
	}
}

// While the archive, which alone knows of a rollback, can't be asked at the start,
// nothing is signed, and it is said why.
func TestAnArchiveThatIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	s3 := s3test.New(t)
	c := foundAt(t, s3.URL)
	c.grow(t, c.pool, 2, 10, "a")
	s3.Fail(s3test.Away)
	log, stop := c.runs(t)
	defer stop()
	log.says(t, "no checkpoint is signed until the archive answers")
	if n := c.count(t, signedSoFar); n != 0 {
		t.Errorf("%d checkpoints were signed", n)
	}
	s3.Fail(nil)
	until(t, "the first checkpoint", func() bool {
		all, _, err := c.Archive.Checkpoints(t.Context())
		return err == nil && len(all) == 1
	})
}

// A clock that was ahead or is set back hides nothing of what was signed last.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	c := found(t)
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
		if err := signing.Attest(t.Context(), alone{}); err != nil { // signs, and carries nothing
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

// What was signed is remembered by whoever signed it: that its row in Postgres was
// deleted lets nobody have another history signed.
func TestDeletingCheckpointsHelpsNobody(t *testing.T) {
	t.Parallel()
	c := found(t)
	c.grow(t, c.pool, 5, 10, "a")
	c.must(t)
	c.admin(t, `TRUNCATE app.checkpoints`)
	c.admin(t, `UPDATE record.hashes SET hash = sha256('x')`)
	c.grow(t, c.pool, 1, 10, "b")
	if err := c.Attest(t.Context(), alone{}); err == nil || !strings.Contains(err.Error(), signer.ErrOtherHistory.Error()) {
		t.Errorf("it says %v", err)
	}
}

func (c *clinic) admin(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := c.asAdmin(t).Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
