package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/directory/demo"
	"postern/internal/directory/imports"
	"postern/internal/eventlog"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/outbox"
	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// standIn is the demo's SendGrid.
type standIn struct {
	fake           *sendgridfake.Fake
	url, key, from string
	webhook        sendgridfake.Webhook
}

// demoActor is the actor of the demo's events.
const demoActor = "operator:demo"

// demoMail is the minimum number of alerts that the demo's mailbox keeps.
const demoMail = 10_000

// startDemo serves the stand-in for SendGrid on loopback, with its own server.
func startDemo(ctx context.Context, group *errgroup.Group) (*standIn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the stand-in for SendGrid: %w", err)
	}
	s := &standIn{
		fake: sendgridfake.New(sendgridfake.Config{APIKey: "SG.demo", Keep: demoMail}),
		url:  "http://" + listener.Addr().String(), key: "SG.demo", from: "Demo Clinic <alerts@clinic.example.test>",
	}
	if s.webhook.PrivateKey, err = sendgridfake.GenerateKey(); err != nil {
		return nil, err
	}
	group.Go(func() error { return s.fake.Serve(ctx, listener) })
	return s, nil
}

// report sends delivery reports for each alert to the clinic at url, as SendGrid does. An
// address that begins with bounce, blocked, dropped, deferred or spam gets that result.
func (s *standIn) report(ctx context.Context, url string) error {
	s.webhook.URL = url + "/webhooks/sendgrid"
	return s.fake.Report(ctx, s.webhook, sendgridfake.ByName)
}

// mount adds the page of the mails that the stand-in received to the other pages.
func (s *standIn) mount(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.Handle("GET /demo/mailbox", s.fake.Mailbox())
	return mux
}

// account is an account that can sign in to the demo.
type account struct {
	id, email, name, can string
	permissions          []policy.Permission
}

// The passwords of the demo are public: it serves only on loopback, and its people are
// invented.
const (
	demoStaffPassword  = "winter-garden-lantern" // #nosec G101 -- printed at every start
	demoPortalPassword = "paper-boat-harbour"    // #nosec G101 -- printed at every start
)

var demoStaff = []account{
	{email: "admin@clinic.example.test", name: "Ada Admin", can: "everything", permissions: policy.All},
	{email: "front@clinic.example.test", name: "Femke Front-Desk", can: "messages to single portal users",
		permissions: []policy.Permission{policy.SendPortalMessage}},
	{email: "review@clinic.example.test", name: "Rui Reviewer", can: "reading the record",
		permissions: []policy.Permission{policy.ReadRecord}},
}

// setUpDemo imports the demo clinic, creates the accounts that do not exist yet, and prints
// all accounts.
func setUpDemo(ctx context.Context, s *Stores, out io.Writer, url string) error {
	pool, err := store.Open(ctx, s.DatabaseURL, store.RoleAdmin, 4, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	log, err := eventlog.Connect(ctx, eventlog.Config{URL: s.NATSURLs[events.Admin], Name: "postern up --demo"})
	if err != nil {
		return err
	}
	defer log.Close()
	watcher := position.NewWatcher(pool, nil)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = watcher.Run(ctx) }()
	gate, err := access.New(access.Config{Pool: pool, Facts: facts.Publisher{Source: "/postern", Send: log.Publish, Reached: watcher.Wait}})
	if err != nil {
		return err
	}
	if err := importDemo(ctx, pool); err != nil {
		return err
	}
	for _, a := range demoStaff {
		_, err := gate.CreateStaff(ctx, demoActor, access.NewStaff{Email: a.email, Name: a.name, Password: demoStaffPassword, Permissions: a.permissions})
		if err != nil && !errors.Is(err, access.ErrStaffExists) {
			return fmt.Errorf("creating the staff account %s: %w", a.email, err)
		}
	}
	portal, err := demoPortalUsers(ctx, pool, gate)
	if err != nil {
		return err
	}
	return printAccounts(out, url, portal)
}

func importDemo(ctx context.Context, pool *pgxpool.Pool) error {
	return demo.Import(ctx, pool, imports.Options{
		InTx: func(ctx context.Context, tx pgx.Tx, summary imports.Summary) error {
			e, err := summary.Event("/postern", demoActor, "fhir", time.Now())
			if err != nil {
				return err
			}
			return outbox.Store(ctx, tx, e)
		}})
}

// demoPortalUsers sets the password of the first few active portal users of the demo clinic
// with an address, both patients and representatives.
func demoPortalUsers(ctx context.Context, pool *pgxpool.Pool, gate *access.Gate) ([]account, error) {
	ids, err := demo.IDs()
	if err != nil {
		return nil, err
	}
	rows, err := pool.Query(ctx, `
		(SELECT u.portal_user_id, u.email, u.name, 'patient' FROM app.portal_users u JOIN app.links l USING (portal_user_no)
		 JOIN app.patients p USING (patient_no)
		 WHERE u.active AND u.email <> '' AND l.relationship = 'self' AND NOT p.deceased AND u.portal_user_id = ANY($1) ORDER BY u.portal_user_no LIMIT 3)
		UNION ALL
		(SELECT u.portal_user_id, u.email, u.name, 'representative' FROM app.portal_users u JOIN app.links l USING (portal_user_no)
		 WHERE u.active AND u.email <> '' AND l.relationship = 'representative' AND u.portal_user_id = ANY($1) AND coalesce(l.valid_until, current_date) >= current_date
		 ORDER BY u.portal_user_no LIMIT 1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("choosing portal users for the demo: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (account, error) {
		var a account
		err := row.Scan(&a.id, &a.email, &a.name, &a.can)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("choosing portal users for the demo: %w", err)
	}
	for _, a := range all {
		if err := gate.SetPortalPassword(ctx, demoActor, a.id, demoPortalPassword); err != nil {
			return nil, fmt.Errorf("setting the password of %s: %w", a.id, err)
		}
	}
	return all, nil
}

func printAccounts(out io.Writer, url string, portal []account) error {
	_, err := fmt.Fprintf(out, "\nThe demo requires no second factor of its staff. Without --demo it is required: see STAFF_SECOND_FACTOR.\nDemo accounts of staff, password %s\n", demoStaffPassword)
	for _, a := range demoStaff {
		if err == nil {
			_, err = fmt.Fprintf(out, "  %-32s %s: %s\n", a.email, a.name, a.can)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "Demo accounts of portal users, password %s\n", demoPortalPassword)
	}
	for _, a := range portal {
		if err == nil {
			_, err = fmt.Fprintf(out, "  %-32s %s: %s\n", a.email, a.name, a.can)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "E-mail alerts that were caught: %s/demo/mailbox\nAPI: %s/docs\n\n", url, url)
	}
	return err
}
