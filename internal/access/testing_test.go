package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/access/passkey"
	"postern/internal/access/policy"
	"postern/internal/eventlog/facts"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	operator = "operator:test"
	good     = "a brook runs under the mill"
)

// A clinic is a Gate with everything around it.
type clinic struct {
	*Gate
	admin *pgxpool.Pool // may do anything in the database
	rec   *recorder
	clock *clock
}

func newClinic(t *testing.T) clinic {
	t.Helper()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	rec, clock := &recorder{pool: admin}, &clock{at: time.Now()}
	key := filepath.Join(t.TempDir(), "content.key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	sealing, err := content.Open(t.Context(), "mem://", key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sealing.Close() })
	party, err := passkey.New("https://portal.example.test", "Postern")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := New(Config{
		Content: sealing, Passkeys: party,
		Pool: storetest.Open(t, url, store.RoleAPI), PasswordCost: TestCost, Facts: facts.Publisher{Source: "/api", Send: rec.publish, Reached: rec.wait, Clock: clock.now}})
	if err != nil {
		t.Fatal(err)
	}
	return clinic{gate, admin, rec, clock}
}

// hire creates a staff member with the password good.
func (c clinic) hire(t *testing.T, email string, permissions ...policy.Permission) Staff {
	t.Helper()
	staff, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: email, Name: "Ada Brook", Password: good, Permissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	return staff
}

// token makes an API token that permits what its owner may do.
func (c clinic) token(t *testing.T, owner Staff) string {
	t.Helper()
	_, token, err := c.CreateToken(t.Context(), owner.subject().Actor(), owner.ID, NewToken{Name: "a program"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// invite creates a staff member without a password, and returns the token of their link.
func (c clinic) invite(t *testing.T, email string) (Staff, string) {
	t.Helper()
	staff, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: email, Name: "Noel Novice", Invited: true})
	if err != nil {
		t.Fatal(err)
	}
	return staff, c.link(t, staff)
}

// link makes a link for a staff member and returns its token.
func (c clinic) link(t *testing.T, staff Staff) string {
	t.Helper()
	made, err := c.InviteStaff(t.Context(), operator, staff.ID)
	if err != nil {
		t.Fatal(err)
	}
	return made.Token
}

// setByLink sets the password of a staff member with a link.
func (c clinic) setByLink(t *testing.T, staff Staff, password string) {
	t.Helper()
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, c.link(t, staff), password); err != nil {
		t.Fatal(err)
	}
}

// enters reports whether a staff member can sign in with a password.
func (c clinic) enters(t *testing.T, email, password string) bool {
	t.Helper()
	_, err := c.SignInStaff(t.Context(), Credentials{Email: email, Password: password})
	if err != nil && !errors.Is(err, ErrWrongCredentials) {
		t.Fatal(err)
	}
	return err == nil
}

// enrol puts a portal user into the directory, and gives them a password unless
// it is "".
func (c clinic) enrol(t *testing.T, id, email, password string) {
	t.Helper()
	c.exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ($1, 'Noor Haddad', $2, true)`, id, email)
	if password == "" {
		return
	}
	if err := c.SetPortalPassword(t.Context(), operator, id, password); err != nil {
		t.Fatal(err)
	}
}

func (c clinic) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := c.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (c clinic) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := c.admin.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A recorder replaces the stream and the recorder: published events can be read as soon as a
// caller waits for them.
type recorder struct {
	pool *pgxpool.Pool

	mu       sync.Mutex
	events   []events.Event
	recorded int
	fails    error  // of the next publish
	before   func() // the next publish
}

func (r *recorder) publish(_ context.Context, batch ...events.Event) (uint64, error) {
	r.mu.Lock()
	before := r.before
	r.before = nil
	r.mu.Unlock()
	if before != nil {
		before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fails; err != nil {
		r.fails = nil
		return 0, err
	}
	r.events = append(r.events, batch...)
	return uint64(len(r.events)), nil
}

func (r *recorder) wait(ctx context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq == 0 || seq > uint64(len(r.events)) {
		return errors.New("waiting for what was not published")
	}
	for ; r.recorded < int(seq); r.recorded++ {
		again := r.events[r.recorded].ID
		if slices.ContainsFunc(r.events[:r.recorded], func(e events.Event) bool { return e.ID == again }) {
			continue // the stream keeps one of those with the same id
		}
		if err := r.project(ctx, r.events[r.recorded]); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) project(ctx context.Context, e events.Event) error {
	var err error
	switch e.Type {
	case events.TypeStaffCreated:
		var b events.StaffCreated
		if b, err = events.Decode[events.StaffCreated](e); err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.staff (staff_id, name, created_at) VALUES ($1, $2, $3)`, b.StaffID, b.Name, e.Time)
		}
	case events.TypeStaffChanged:
		var b events.StaffChanged
		if b, err = events.Decode[events.StaffChanged](e); err == nil {
			_, err = r.pool.Exec(ctx, `UPDATE record.staff SET name = $2 WHERE staff_id = $1`, b.StaffID, b.Name)
		}
	case events.TypeStaffDisabled, events.TypeStaffEnabled:
		var b events.StaffEnabledChanged
		if b, err = events.Decode[events.StaffEnabledChanged](e); err == nil {
			_, err = r.pool.Exec(ctx, `UPDATE record.staff SET disabled_at = CASE WHEN $2 THEN $3::timestamptz END WHERE staff_id = $1`, b.StaffID, b.Disabled, e.Time)
		}
	case events.TypeSecondFactorAdded:
		var b events.SecondFactor
		if b, err = events.Decode[events.SecondFactor](e); err == nil {
			_, err = r.pool.Exec(ctx, `DELETE FROM record.second_factors WHERE realm = $1 AND subject = $2 AND kind = 'totp' AND $3 = 'totp'`, b.Account, b.ID, b.Kind)
		}
		if err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.second_factors (change_id, realm, subject, kind, added_at) VALUES ($1, $2, $3, $4, $5)`, b.Change, b.Account, b.ID, b.Kind, e.Time)
		}
	case events.TypeSecondFactorRemoved, events.TypeSecondFactorReset:
		var b events.SecondFactor
		if b, err = events.Decode[events.SecondFactor](e); err == nil {
			_, err = r.pool.Exec(ctx, `DELETE FROM record.second_factors WHERE realm = $1 AND subject = $2 AND ($3::uuid IS NULL OR change_id = $3)`, b.Account, b.ID, b.Factor)
		}
		if err == nil {
			_, err = r.pool.Exec(ctx, `DELETE FROM record.recovery_codes r WHERE NOT EXISTS (SELECT FROM record.second_factors f WHERE f.realm = r.realm AND f.subject = r.subject)`)
		}
	case events.TypeRecoveryCodesMade:
		var b events.RecoveryCodesMade
		if b, err = events.Decode[events.RecoveryCodesMade](e); err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.recovery_codes VALUES ($1, $2, $3, $4)
				ON CONFLICT (realm, subject) DO UPDATE SET set_id = excluded.set_id`, b.Account, b.ID, b.Set, e.Time)
		}
	case events.TypeIdentityLinked:
		var b events.IdentityLinked
		if b, err = events.Decode[events.IdentityLinked](e); err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.identities VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, b.StaffID, b.Identity, b.Issuer, e.Time)
		}
	case events.TypeIdentityUnlinked:
		var b events.IdentityUnlinked
		if b, err = events.Decode[events.IdentityUnlinked](e); err == nil {
			_, err = r.pool.Exec(ctx, `DELETE FROM record.identities WHERE staff_id = $1 AND identity_id = $2`, b.StaffID, b.Identity)
		}
	case events.TypeAddressConfirmed:
		var b events.AddressConfirmed
		if b, err = events.Decode[events.AddressConfirmed](e); err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.address_confirmations VALUES ($1, $2, $3, $4)
				ON CONFLICT (portal_user_no) DO UPDATE SET address_version = excluded.address_version`, b.PortalUserNo, b.AddressVersion, e.Actor, e.Time)
		}
	case events.TypeTokenCreated:
		var b events.TokenCreated
		if b, err = events.Decode[events.TokenCreated](e); err == nil {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.tokens (token_id, staff_id, name, scope, permissions, expires_at)
				SELECT $1::uuid, $2::text, $3::text, $4::text, $5::text[], $6::timestamptz WHERE EXISTS (SELECT FROM record.staff WHERE staff_id = $2 AND disabled_at IS NULL)`,
				b.Token, b.StaffID, b.Name, b.Scope, b.Permissions, b.ExpiresAt)
		}
	case events.TypeTokenRevoked:
		var b events.TokenRevoked
		if b, err = events.Decode[events.TokenRevoked](e); err == nil {
			_, err = r.pool.Exec(ctx, `UPDATE record.tokens SET revoked_at = $2, revoked_why = $3 WHERE token_id = $1 AND revoked_at IS NULL`, b.Token, e.Time, b.Why)
		}
	case events.TypePermissionGranted, events.TypePermissionRevoked:
		var b events.PermissionChanged
		if b, err = events.Decode[events.PermissionChanged](e); err != nil {
			break
		}
		if b.Granted {
			_, err = r.pool.Exec(ctx, `INSERT INTO record.staff_permissions VALUES ($1, $2, $3, $4)`, b.StaffID, b.Permission, e.Time, e.Actor)
		} else {
			_, err = r.pool.Exec(ctx, `DELETE FROM record.staff_permissions WHERE staff_id = $1 AND permission = $2`, b.StaffID, b.Permission)
		}
	}
	return err
}

// last is the newest n events, each as "type by actor: body without its random ids".
func (r *recorder) last(t *testing.T, n int) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, e := range r.events[max(0, len(r.events)-n):] {
		var body map[string]any
		if err := json.Unmarshal(e.Data, &body); err != nil {
			t.Fatal(err)
		}
		delete(body, "attempt")
		delete(body, "change")
		delete(body, "token")
		delete(body, "link")
		delete(body, "identity")
		delete(body, "set")
		delete(body, "factor")
		if e.Type == events.TypeLinkIssued {
			delete(body, "expires_at")
		}
		delete(body, "tally")
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s by %s: %s", e.Type, e.Actor, text))
	}
	return lines
}

// all is everything that stands on the record, headers and bodies.
func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintln(&b, e.Header(), string(e.Data))
	}
	return b.String()
}

// ids are the ids of all events of a type.
func (r *recorder) ids(of events.Type) (ids []uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == of {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

func (r *recorder) beforeNext(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = do
}

func (r *recorder) failNext(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = err
}

// A clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}
