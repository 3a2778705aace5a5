package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/health"
	"postern/internal/problem/document"
	"postern/internal/telemetry"
)

// Config has the dependencies of an [API] other than its operations. Logger and Telemetry
// may be left out.
type Config struct {
	// Sessions authenticate requests.
	Sessions Sessions
	// Health answers /readyz.
	Health *health.Status
	// Inside reports whether a request comes from the inside: it learns from /readyz why the
	// process is not ready, and gets /metrics unless HideMetrics is set. Nil: every request.
	Inside      func(*http.Request) bool
	HideMetrics bool
	// Problems turn errors into answers.
	Problems document.Problems
	Logger   *slog.Logger
	// Telemetry is that of the process; nil makes a new one.
	Telemetry *telemetry.Telemetry
}

// Sessions are middleware that authenticates requests, as [access.Gate] does.
type Sessions interface {
	Staff(next http.Handler) http.Handler
	Portal(next http.Handler) http.Handler
}

// Operations are a group of operations with their dependencies. The package has one type
// for each group.
type Operations interface{ register(a *API) }

// Await waits a short time for the recorder to reach the sequence seq, so that a client can
// read the effect of its request right after the answer. The request has succeeded even if
// the recorder does not reach seq in time.
type Await func(ctx context.Context, seq uint64)

// API is an http.Handler, safe for concurrent use. Serve it with the server that
// [inbound.NewServer] makes.
type API struct {
	cfg      Config
	problems document.Problems
	mux      *routes
	huma     huma.API
	chain    http.Handler
	streams  streams

	closing  chan struct{} // closed when streams must end
	closeOne sync.Once
}

// New makes an API with these groups of operations. It does no I/O.
func New(cfg Config, groups ...Operations) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Telemetry == nil {
		cfg.Telemetry = telemetry.New()
	}
	a := &API{
		cfg:      cfg,
		problems: cfg.Problems,
		mux:      &routes{ServeMux: http.NewServeMux()},
		closing:  make(chan struct{}),
	}
	a.huma = humago.New(a.mux, description())
	for _, group := range groups {
		group.register(a)
	}
	a.health()
	a.docs()
	a.describe()
	a.chain = a.middleware()
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.chain.ServeHTTP(w, r) }

// Routes returns the patterns of all routes, for tests that call them all.
func (a *API) Routes() []string { return a.mux.patterns }

// routes is a mux that knows its patterns.
type routes struct {
	*http.ServeMux
	patterns []string
}

func (r *routes) Handle(pattern string, h http.Handler) {
	r.patterns = append(r.patterns, pattern)
	r.ServeMux.Handle(pattern, h)
}

func (r *routes) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	r.Handle(pattern, http.HandlerFunc(f))
}

// Close ends open streams, so that a server can stop. Other requests are not affected.
func (a *API) Close() { a.closeOne.Do(func() { close(a.closing) }) }

// description is the configuration of huma and the start of /openapi.json.
func description() huma.Config {
	c := huma.DefaultConfig("Postern", "1")
	c.CreateHooks = nil // no $schema in answers
	c.SchemasPath = ""
	c.OpenAPIPath, c.DocsPath = "", "" // see docs.go
	c.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":  {Type: "http", Scheme: "bearer", Description: "An API token of a staff member: `POST /v1/tokens`, or Account on the pages, or `postern token create`."},
		"staff":  {Type: "apiKey", In: "cookie", Name: "postern_staff", Description: "The session of a staff member. Over https its name is __Host-postern_staff."},
		"portal": {Type: "apiKey", In: "cookie", Name: "postern_portal", Description: "The session of a portal user. Over https its name is __Host-postern_portal."},
	}
	return c
}
