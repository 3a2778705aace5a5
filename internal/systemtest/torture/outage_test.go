package torture

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/giveup"
)

// NATS, Postgres or SendGrid is down for a while in the middle of a blast. No
// acknowledged message is lost. While messages can't be recorded, a request to send one
// gets 503 with Retry-After. Within a minute after the outage all work is done.
func TestOutages(t *testing.T) {
	t.Parallel()
	people, duration := 3_000, 3*time.Second
	if *long {
		people, duration = 20_000, time.Minute
	}
	s, stores, services := separate(t)
	for _, v := range append(stores, services...) {
		v.start(t)
	}
	s.kinds["SendGrid"] = func() killable { return s.web }
	s.verb("migrate")
	s.awaitReady()
	s.signIn()
	s.importPeople(people)
	for _, outage := range []struct {
		of      string
		refused bool // whether messages can't be recorded during the outage
		unknown bool // whether an answer of SendGrid may be lost
	}{
		{of: "SendGrid", unknown: true},
		{of: "postgres", refused: true, unknown: true},
		{of: "nats", refused: true},
	} {
		b := s.send()
		b.await(moment{delivered, 1})
		v := s.kinds[outage.of]()
		v.kill(t)
		over := time.After(duration)
		if outage.refused {
			s.mustRefuse()
		}
		<-over
		v.start(t)
		returned := time.Now()
		b.settle()
		s.awaitReady()
		drained := time.Since(returned)
		unknown := b.verdict()
		t.Logf("%s was down for %s at least: settled %s after its return, %d of %d alerts unknown",
			outage.of, duration, drained.Round(time.Millisecond), unknown, len(s.people.audience))
		if *long && drained > time.Minute {
			t.Errorf("all work was done %s after the return of %s", drained, outage.of)
		}
		if unknown > 0 && !outage.unknown {
			t.Errorf("%d alerts are unknown, although no answer of SendGrid was lost", unknown)
		}
	}
	s.checkRecord()
}

// mustRefuse sends a message and expects 503 with Retry-After.
func (s *system) mustRefuse() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), giveup.After)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/messages", strings.NewReader(blastBody))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		s.Errorf("composing while nothing can be recorded: %s, Retry-After %q: %s", resp.Status, resp.Header.Get("Retry-After"), text)
	}
}
