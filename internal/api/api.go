package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/desk"
	"postern/internal/problem/document"
	"postern/internal/store"
	"postern/internal/telemetry"
)

// Config is what an [API] works with. Only Desk is needed.
type Config struct {
	Desk *desk.Desk
	// Checks are what /readyz looks at besides the database, by name: the
	// connection to NATS, the space on the disk.
	Checks map[string]func(context.Context) error
	Logger *slog.Logger
	// Telemetry is the process's; nil is one of its own.
	Telemetry *telemetry.Telemetry
}

// API is an http.Handler. Serve it with the server that [inbound.NewServer] makes.
type API struct {
	*desk.Desk
	cfg   Config
	mux   *http.ServeMux
	huma  huma.API
	chain http.Handler

	problems document.Problems

	closing  chan struct{} // closed when streams must end
	closeOne sync.Once
}

// New makes an API. It does no I/O.
func New(cfg Config) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Telemetry == nil {
		cfg.Telemetry = telemetry.New()
	}
	a := &API{
		Desk:     cfg.Desk,
		cfg:      cfg,
		mux:      http.NewServeMux(),
		closing:  make(chan struct{}),
		problems: document.Problems{Logger: cfg.Logger, Transient: store.Transient},
	}
	a.huma = humago.New(a.mux, description())
	for _, register := range []func(){
		a.sessions, a.recipients, a.attachments, a.messages, a.deliveries, a.stream, a.bcc,
		a.search, a.labels, a.staff, a.portal, a.checkpoints, a.receipts, a.health,
		a.docs, a.record, a.alerting, a.parked, a.operating, a.webhooks, a.replays,
		a.erasures,
	} {
		register()
	}
	a.chain = a.middleware()
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.chain.ServeHTTP(w, r) }

// Close ends the streams that are open, so that a server can stop. Everything
// else goes on as before.
func (a *API) Close() { a.closeOne.Do(func() { close(a.closing) }) }

// description is what /openapi.json begins with, and how huma is set up.
func description() huma.Config {
	c := huma.DefaultConfig("Postern", "1")
	c.Info.Description = "Secure messages with documents, from a clinic's staff to the people who use its patient portal."
	c.CreateHooks = nil // no $schema in answers
	c.SchemasPath = ""
	c.DocsPath = "" // see docs.go
	c.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":  {Type: "http", Scheme: "bearer", Description: "An API token of a staff member: `postern token create`."},
		"staff":  {Type: "apiKey", In: "cookie", Name: "postern_staff", Description: "The session of a staff member."},
		"portal": {Type: "apiKey", In: "cookie", Name: "postern_portal", Description: "The session of a portal user."},
	}
	return c
}
