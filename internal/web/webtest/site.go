// Package webtest gives tests of pages a whole clinic: PostgreSQL, NATS, every
// worker and a stand-in for SendGrid, with the pages and the API at one address.
//
// Most tests use HTTP only ([Site.Staff], [Site.PortalUser], [Site.SignedOut]), which is
// fast, and every page is checked with [CheckHTML]. Tests that need scripts, a keyboard or
// a screen open a [Browser].
//
// A package that uses it calls [Main] from TestMain.
//
// # Size
//
// Site, visitor, browser and the checks of a page are one package, because every test of
// a page uses them together.
package webtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/passkey"
	"postern/internal/access/policy"
	"postern/internal/clinic/clinicstore"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/inbound"
	"postern/internal/notify"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/proof/entrykey"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/telemetry"
)

// Main runs the tests of a package that uses webtest.
func Main(m *testing.M) { storetest.Main(m, endChromium) }

// Password is the password of all people.
const Password = "korrekt-pferd-batterie" // #nosec G101 -- invented

// Site is a clinic with its pages.
type Site struct {
	*composetest.System
	Web   *process.Web
	Mails *sendgridfake.Fake
	Base  string       // the address of the site: http://127.0.0.1:…
	Pages http.Handler // the handler of the pages, for a test that adds other pages
	// Handler is what the server serves: pages and API, with the limits of package inbound.
	Handler http.Handler

	refuse atomic.Pointer[func(address string) string]
}

// Refuse makes SendGrid refuse an address from now on if reason returns a text, which
// is the reason; "" accepts the address.
func (s *Site) Refuse(reason func(address string) string) { s.refuse.Store(&reason) }

func (s *Site) refusal(address string) string {
	if reason := s.refuse.Load(); reason != nil {
		return (*reason)(address)
	}
	return ""
}

// New starts a site that ends with the test. The change functions may edit its configuration.
func New(t testing.TB, change ...func(*process.WebConfig)) *Site {
	t.Helper()
	s := &Site{System: composetest.New(t)}
	s.Mails = sendgridfake.New(sendgridfake.Config{Refuse: s.refusal})
	vendor := httptest.NewServer(s.Mails)
	t.Cleanup(func() { s.Mails.Close(); vendor.Close() })

	server := httptest.NewUnstartedServer(nil)
	s.Base = "http://" + server.Listener.Addr().String()
	client, err := sendgrid.New(sendgrid.Config{BaseURL: vendor.URL, APIKey: "SG.test", From: "Clinic <alerts@clinic.example.test>", PublicURL: s.Base,
		Clinic: clinicstore.New(clinicstore.Config{Pool: s.Pool}).Face})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	passkeys, err := passkey.New(s.Base, "Postern")
	if err != nil {
		t.Fatal(err)
	}
	tell := telemetry.New()
	cfg := process.WebConfig{Telemetry: tell, Passkeys: passkeys, Pool: s.Pool, Content: s.Content, Log: s.Log, Publish: s.Publish, Position: s.Position,
		Source: "/api", PasswordCost: access.TestCost, CatchUp: time.Minute, PublishTimeout: time.Minute, Now: s.Clock.Now, Logger: logOf(t),
		Letters: letter.Config{SendInvitation: client.SendInvitation, SendReset: client.SendReset, SendStaffInvitation: client.SendStaffInvitation,
			SendStaffReset: client.SendStaffReset, SendAddressChanged: client.SendAddressChanged,
			SendPortalAddressChanged: client.SendPortalAddressChanged, SendMessageEnded: client.SendMessageEnded, PerSecond: 1000, PublicURL: s.Base, Pause: time.Millisecond}}
	for _, f := range change {
		f(&cfg)
	}
	w, err := process.WireWeb(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tell.Watch(w.Health.State)
	s.Web, s.Pages = w, w.Pages
	// As behind a proxy on this machine: X-Forwarded-For gives a visitor another address.
	here := inbound.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	server.Config = inbound.NewServer(process.Routes(w.API, s.Pages), here, slog.New(slog.DiscardHandler))
	s.Handler = server.Config.Handler
	server.Start()
	t.Cleanup(func() { w.API.Close(); server.Close(); w.Close() })

	s.work(t, client)
	return s
}

// work runs the workers until the test ends.
func (s *Site) work(t testing.TB, client *sendgrid.Client) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	run := func(part func(context.Context) error) {
		running.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	pool := storetest.Open(t, s.URL, store.RoleFanout)
	watcher := position.NewWatcher(pool, nil)
	f := fanout.New(fanout.Config{Pool: pool, Position: watcher, Content: s.Content, Facts: facts.Publisher{Send: s.Log.Publish, Clock: s.Clock.Now, EntryKey: entrykey.Seals(s.Pool).Key}})
	expand := func(bulk bool) consume.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if e.Type == events.TypeMessageReleased {
				return f.HandleReleased(ctx, e, seq, bulk)
			}
			return f.HandleSent(ctx, e, bulk)
		}
	}
	run(watcher.Run)
	run(s.Web.Letters.Run)
	handle := func(pool *pgxpool.Pool, lanes ...consume.Lane) {
		run(func(ctx context.Context) error { return consume.Run(ctx, s.Log, parked.In(pool), lanes...) })
		run(func(ctx context.Context) error {
			return parked.Retry(ctx, s.Log, pool, slog.New(slog.DiscardHandler), lanes...)
		})
	}
	handle(pool, consume.Lane{Consumer: eventlog.FanoutBulk, Slots: 2, Handle: expand(true)},
		consume.Lane{Consumer: eventlog.FanoutDirect, Slots: 2, Handle: expand(false)})

	notifying := storetest.Open(t, s.URL, store.RoleNotify)
	seen := position.NewWatcher(notifying, nil)
	n := notify.New(notify.Config{Pool: notifying, Position: seen, Facts: facts.Publisher{Send: s.Log.Publish, Clock: s.Clock.Now, EntryKey: entrykey.Seals(s.Pool).Key}, Send: client.Send, FailureLimit: 20})
	alert := func(bulk bool) consume.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if e.IsBulk() != bulk {
				return nil
			}
			return n.Handle(ctx, e, seq)
		}
	}
	run(seen.Run)
	run(n.RunRetries)
	run(n.RunReplays)
	handle(notifying, consume.Lane{Consumer: eventlog.NotifyBulk, Slots: 2, Handle: alert(true)},
		consume.Lane{Consumer: eventlog.NotifyDirect, Slots: 2, Handle: alert(false)})
}

// NewStaff creates a staff member who can sign in with [Password].
func (s *Site) NewStaff(t testing.TB, name string, permissions ...policy.Permission) access.Staff {
	t.Helper()
	made, err := s.Web.Gate.CreateStaff(t.Context(), "operator:test", access.NewStaff{
		Email: strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@clinic.example", Name: name, Password: Password, Permissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// NewPortalUser creates an active portal user, linked to an active patient of their
// own, who can sign in as id@example.org with [Password].
func (s *Site) NewPortalUser(t testing.TB, id string) policy.Subject {
	t.Helper()
	subject := s.System.PortalUser(t, id)
	if err := s.Web.Gate.SetPortalPassword(t.Context(), "operator:test", id, Password); err != nil {
		t.Fatal(err)
	}
	return subject
}
