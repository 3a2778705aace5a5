package torture

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// What everything stands on is away for a while in the middle of a blast: NATS,
// Postgres, SendGrid. Nothing that was acknowledged is lost, whoever composes
// meanwhile is told to come back where it can't be recorded, and within a minute
// of the return nothing is left to do.
func TestOutages(t *testing.T) {
	t.Parallel()
	people, away := 3_000, 3*time.Second
	if *long {
		people, away = 20_000, time.Minute
	}
	s, stores, services := separate(t)
	for _, v := range append(stores, services...) {
		v.start(t)
	}
	s.kinds["SendGrid"] = func() victim { return s.web }
	s.verb("migrate")
	s.awaitReady()
	s.signIn()
	s.importPeople(people)
	for _, outage := range []struct {
		of      string
		refused bool // whether nothing can be recorded meanwhile
		unknown bool // whether an answer of SendGrid may get lost with it
	}{
		{of: "SendGrid", unknown: true},
		{of: "postgres", refused: true, unknown: true},
		{of: "nats", refused: true},
	} {
		b := s.send()
		b.await(moment{delivered, 1})
		v := s.kinds[outage.of]()
		v.kill(t)
		back := time.After(away)
		if outage.refused {
			s.mustRefuse()
		}
		<-back
		v.start(t)
		returned := time.Now()
		b.settle()
		s.awaitReady()
		drained := time.Since(returned)
		unknown := b.verdict()
		t.Logf("%s was away for %s at least: settled %s after its return, %d of %d alerts unknown",
			outage.of, away, drained.Round(time.Millisecond), unknown, len(s.people.audience))
		if drained > time.Minute {
			t.Errorf("it took %s from the return of %s until all was done", drained, outage.of)
		}
		if unknown > 0 && !outage.unknown {
			t.Errorf("%d alerts are unknown, although every answer of SendGrid was kept", unknown)
		}
	}
	s.checkRecord()
}

// mustRefuse sends to one portal user, and wants to be told to come back.
func (s *system) mustRefuse() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
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
