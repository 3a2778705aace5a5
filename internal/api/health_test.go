package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"postern/internal/health"
	"postern/internal/process"
)

var update = flag.Bool("update", false, "write schemas/openapi.json")

//go:generate go test -run TestTheDescriptionIsKept -update

// schemas/openapi.json is what /openapi.json answers: for clients and reviewers
// who have no process to ask.
func TestTheDescriptionIsKept(t *testing.T) {
	const kept = "../../schemas/openapi.json"
	s := newSystem(t)
	var got bytes.Buffer
	if err := json.Indent(&got, s.anonymous(t).get("/openapi.json").is(http.StatusOK).body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(kept, got.Bytes(), 0o644); err != nil { // #nosec G306 -- a file of the repository
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("schemas/openapi.json is not what /openapi.json answers: run go generate ./internal/api")
	}
	if !strings.Contains(got.String(), `"openapi": "3.1.0"`) {
		t.Error("it is not OpenAPI 3.1")
	}
}

func TestDocsListEverything(t *testing.T) {
	s := newSystem(t)
	c := s.anonymous(t)
	page := string(c.get("/docs/plain").is(http.StatusOK).body)
	for _, want := range []string{"POST /v1/messages", "GET /v1/portal/messages/{id}", `id="audience-changed"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	c.get("/docs/style.css").is(http.StatusOK)
	c.get("/problems/audience-changed").is(http.StatusOK) // by a redirect
}

// Readiness says everything that is wrong, by name.
func TestReadiness(t *testing.T) {
	var full atomic.Bool
	s := newSystem(t, func(cfg *process.WebConfig) {
		cfg.Checks = map[string]func(context.Context) error{"disk": func(context.Context) error {
			if full.Load() {
				return errors.New("it is full")
			}
			return nil
		}}
	})
	s.staff(t, "Ada") // by now the recorder has checked the stream
	c := s.anonymous(t)
	c.get("/healthz").is(http.StatusOK)
	c.get("/readyz").is(http.StatusOK)

	full.Store(true)
	s.Exec(t, `UPDATE app.record_check SET ok = false, detail = 'events 17 to 19 are missing'`)
	s.Exec(t, `UPDATE goose_db_version SET version_id = 0`)
	got := c.get("/readyz").is(http.StatusServiceUnavailable)
	for _, name := range []string{"disk", "migration", "record"} {
		got.isProblem(t, name)
	}
	for _, want := range []string{"disk: it is full", "record: events 17 to 19", "postern repair", "migration: "} {
		if !strings.Contains(got.text("detail"), want) {
			t.Errorf("it does not say %q: %s", want, got.body)
		}
	}
	c.get("/healthz").is(http.StatusOK)
}

// A stranger learns from /readyz whether the system works, and nothing else. The inside learns why
// it does not, and what to correct although it does.
func TestReadinessForStrangers(t *testing.T) {
	s := newSystem(t, func(cfg *process.WebConfig) {
		cfg.Inside = func(r *http.Request) bool { return r.Header.Get("X-Forwarded-For") == "" }
		cfg.Warnings = func() []health.Fault {
			return []health.Fault{{Part: health.PartScanner, Reason: "documents are not scanned"}}
		}
	})
	s.staff(t, "Ada") // by now the recorder has checked the stream
	c := s.anonymous(t)
	stranger := func(path string) *reply {
		return c.do(http.MethodGet, path, nil, "X-Forwarded-For", "203.0.113.7")
	}
	if got := string(c.get("/readyz").is(http.StatusOK).body); got != `{"status":"ready","warnings":["scanner: documents are not scanned"]}`+"\n" {
		t.Errorf("the inside learns %s", got)
	}
	if got := string(stranger("/readyz").is(http.StatusOK).body); got != `{"status":"ready"}`+"\n" {
		t.Errorf("a stranger learns %s", got)
	}
	c.get("/metrics").is(http.StatusOK)
	stranger("/metrics").is(http.StatusNotFound)

	s.Exec(t, `UPDATE app.record_check SET ok = false, detail = 'events 17 to 19 are missing'`)
	c.get("/readyz").is(http.StatusServiceUnavailable).isProblem(t, "record")
	got := stranger("/readyz").is(http.StatusServiceUnavailable)
	for _, secret := range []string{"17", "record", "errors", "detail"} {
		if strings.Contains(string(got.body), secret) {
			t.Errorf("a stranger learns %s", got.body)
		}
	}
}

// Where others reach the process, its metrics are at an address of their own.
func TestMetricsAreHidden(t *testing.T) {
	s := newSystem(t, func(cfg *process.WebConfig) { cfg.HideMetrics = true })
	s.anonymous(t).get("/metrics").is(http.StatusNotFound)
}
