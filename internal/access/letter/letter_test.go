package letter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/eventlog/facts"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic is Letters that sends through post, with its gate and log lines.
type clinic struct {
	*letter.Letters
	gate  *access.Gate
	admin *pgxpool.Pool
	logs  chan string
	post  func(kind, to, link string) error
	ahead time.Duration // of the clock

	recording sync.Mutex
	said      []string // the summaries of all events
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	url := storetest.New(t)
	var err error
	admin := storetest.Open(t, url, store.RoleAdmin)
	for _, sql := range []string{
		`INSERT INTO app.portal_users (portal_user_id, name, email, active)
			VALUES ('pu-1', 'Noor Haddad', 'noor@home.example', true), ('pu-2', 'Tim Haddad', '', true)`,
		`INSERT INTO record.staff (staff_id, name, created_at) VALUES ('ada', 'Ada Admin', now()), ('noel', 'Noel Novice', now()), ('sam', 'Sam Staff', now())`,
		`INSERT INTO app.staff_accounts (staff_id, email, setup) VALUES ('ada', 'ada@clinic.example', 'complete'), ('noel', 'noel@clinic.example', 'invited'), ('sam', 'sam@clinic.example', 'complete')`,
		`UPDATE app.staff_accounts SET password_hash = 'x' WHERE staff_id = 'sam'`,
	} {
		if _, err = admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	c := &clinic{admin: admin, logs: make(chan string, 100), post: func(string, string, string) error { return nil }}
	c.gate, err = access.New(access.Config{Pool: storetest.Open(t, url, store.RoleAPI), PasswordCost: access.TestCost,
		Facts: facts.Publisher{Source: "/api", Clock: func() time.Time { return time.Now().Add(c.ahead) }, Send: c.record}})
	if err != nil {
		t.Fatal(err)
	}
	c.Letters = letter.New(letter.Config{Gate: c.gate, PublicURL: "https://portal.example/", Pause: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(c, nil)),
		SendInvitation:           func(_ context.Context, to, link string) error { return c.post("invitation", to, link) },
		SendReset:                func(_ context.Context, to, link string) error { return c.post("reset", to, link) },
		SendStaffInvitation:      func(_ context.Context, to, link string) error { return c.post("staff invitation", to, link) },
		SendStaffReset:           func(_ context.Context, to, link string) error { return c.post("staff reset", to, link) },
		SendAddressChanged:       func(_ context.Context, to string) error { return c.post("address changed", to, "") },
		SendPortalAddressChanged: func(_ context.Context, to string) error { return c.post("portal address changed", to, "") }, PerSecond: 1000})
	return c
}

// Write takes a line of the log.
func (c *clinic) Write(line []byte) (int, error) {
	c.logs <- string(line)
	return len(line), nil
}

// run runs Letters until the test ends.
func (c *clinic) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (c *clinic) counted(t *testing.T, outcome string, n int) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if got := m.GetCounter().GetValue(); m.GetLabel()[0].GetValue() == outcome && got != float64(n) {
			t.Errorf("%v letters are counted as %s, want %d", got, outcome, n)
		}
	}
}

var administrator = policy.Subject{Realm: policy.RealmStaff, ID: "ada", Permissions: []policy.Permission{policy.ImportDirectory, policy.ManageStaff}}

// Staff with the permission can invite, and learn at once whether the letter was handed over.
func TestInvite(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	var sent []string
	c.post = func(kind, to, link string) error {
		sent = append(sent, kind+" "+to+" "+link[:len("https://portal.example/portal/invitation#pil_")])
		return nil
	}
	if err := c.Invite(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: "sam"}, "pu-1"); !errors.Is(err, policy.ErrForbidden) {
		t.Errorf("by staff who may not: %v", err)
	}
	if err := c.Invite(t.Context(), administrator, "pu-2"); !errors.Is(err, access.ErrNoAddress) {
		t.Errorf("without an address: %v", err)
	}
	if err := c.Invite(t.Context(), administrator, "pu-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.gate.SetPortalPassword(t.Context(), "operator:test", "pu-1", "a brook under the mill"); err != nil {
		t.Fatal(err)
	}
	if err := c.Invite(t.Context(), administrator, "pu-1"); err != nil {
		t.Fatal(err)
	}
	link := " noor@home.example https://portal.example/portal/invitation#pil_"
	if got := strings.Join(sent, "\n"); got != "invitation"+link+"\nreset"+link {
		t.Errorf("sent:\n%s", got)
	}
	c.counted(t, "sent", 2)
	c.post = func(string, string, string) error { return errors.New("the key is wrong") }
	if err := c.Invite(t.Context(), administrator, "pu-1"); !errors.Is(err, letter.ErrNotSent) || !strings.Contains(err.Error(), "the key is wrong") {
		t.Errorf("not handed over: %v", err)
	}
	c.counted(t, "failed", 1)
	if line := <-c.logs; strings.Contains(line, "noor") || strings.Contains(line, "pil_") {
		t.Errorf("the log says %s", line)
	}
}

// An administrator sends staff a link, for a first password or a new one, and learns at
// once whether the letter was handed over.
func TestInviteStaff(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	var sent []string
	c.post = func(kind, to, link string) error {
		at, token, _ := strings.Cut(link, "#")
		sent = append(sent, kind+" "+to+" "+at+"#"+token[:min(4, len(token))])
		return nil
	}
	if err := c.InviteStaff(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: "sam"}, "noel"); !errors.Is(err, policy.ErrForbidden) {
		t.Errorf("by staff who may not: %v", err)
	}
	if err := c.InviteStaff(t.Context(), administrator, "ada"); !errors.Is(err, access.ErrOwnLink) {
		t.Errorf("to oneself: %v", err)
	}
	for _, id := range []string{"noel", "sam"} {
		if err := c.InviteStaff(t.Context(), administrator, id); err != nil {
			t.Fatal(err)
		}
	}
	if !c.TellFormerAddress(t.Context(), "noel", "novice@clinic.example") {
		t.Error("the former address is not told")
	}
	const at = " https://portal.example/sign-in/link#psl_"
	want := "staff invitation noel@clinic.example" + at + "\nstaff reset sam@clinic.example" + at + "\naddress changed novice@clinic.example #"
	if got := strings.Join(sent, "\n"); got != want {
		t.Errorf("sent:\n%s\nwant:\n%s", got, want)
	}
	c.counted(t, "sent", 3)
	c.post = func(string, string, string) error { return errors.New("the key is wrong") }
	if err := c.InviteStaff(t.Context(), administrator, "noel"); !errors.Is(err, letter.ErrNotSent) {
		t.Errorf("not handed over: %v", err)
	}
	if c.TellFormerAddress(t.Context(), "noel", "novice@clinic.example") {
		t.Error("the former address is said to be told")
	}
	c.counted(t, "failed", 2)
	for range 2 {
		if line := <-c.logs; strings.Contains(line, "@") || strings.Contains(line, "psl_") || !strings.Contains(line, "staff_id=noel") {
			t.Errorf("the log says %s", line)
		}
	}
}

// A request is for the accounts of its realm alone.
func TestLinksOfARealm(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	sent := make(chan string, 2)
	c.post = func(kind, to, _ string) error { sent <- kind + " " + to; return nil }
	for _, r := range []struct {
		realm policy.Realm
		email string
	}{{policy.RealmPortalUser, "sam@clinic.example"}, {policy.RealmStaff, "noor@home.example"}, {policy.RealmPortalUser, "noor@home.example"}, {policy.RealmStaff, "sam@clinic.example"}} {
		if err := c.RequestLinks(t.Context(), r.realm, r.email); err != nil {
			t.Fatal(err)
		}
	}
	c.run(t)
	got := []string{<-sent, <-sent}
	slices.Sort(got)
	if strings.Join(got, ", ") != "invitation noor@home.example, staff reset sam@clinic.example" {
		t.Errorf("sent: %v", got)
	}
}

// busy is an error that is worth a retry.
type busy struct{}

func (busy) Error() string             { return "try later" }
func (busy) RetryAfter() time.Duration { return 1 }

// A requested letter is retried for a while with the same link and then given up. The log
// and a metric report it without the address.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	links := map[string]int{}
	c.post = func(_, _, link string) error {
		links[link]++
		return busy{}
	}
	c.run(t)
	if err := c.RequestLinks(t.Context(), policy.RealmPortalUser, "noor@home.example"); err != nil {
		t.Fatal(err)
	}
	line := <-c.logs
	if !strings.Contains(line, "tries=8") || strings.Contains(line, "noor") || strings.Contains(line, "pil_") {
		t.Errorf("the log says %s", line)
	}
	if len(links) != 1 {
		t.Errorf("it was tried with %d links", len(links))
	}
	c.counted(t, "given_up", 1)
	c.counted(t, "sent", 0)
}

// An error that is not worth a retry is not retried.
func TestARefusalIsFinal(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.post = func(string, string, string) error { return errors.New("refused") }
	c.run(t)
	if err := c.RequestLinks(t.Context(), policy.RealmPortalUser, "noor@home.example"); err != nil {
		t.Fatal(err)
	}
	if line := <-c.logs; !strings.Contains(line, "tries=1") {
		t.Errorf("the log says %s", line)
	}
}

// RequestLinks refuses when the queue is full, for every address.
func TestTooManyAsk(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for i := 0; ; i++ {
		err := c.RequestLinks(t.Context(), policy.RealmPortalUser, fmt.Sprintf("unknown-%d@home.example", i))
		if errors.Is(err, letter.ErrBusy) && i == 256 {
			return
		}
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
}

func TestWithoutAnEmailServiceNothingIsSent(t *testing.T) {
	t.Parallel()
	o := letter.New(letter.Config{})
	err := errors.Join(o.RequestLinks(t.Context(), policy.RealmPortalUser, "noor@home.example"), o.Invite(t.Context(), administrator, "pu-1"), o.InviteStaff(t.Context(), administrator, "noel"))
	if o.Enabled() || o.TellFormerAddress(t.Context(), "noel", "x@clinic.example") || strings.Count(err.Error(), letter.ErrOff.Error()) != 3 {
		t.Errorf("%v, %v", o.Enabled(), err)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, pasted := range []string{"pil_abc", " pil_abc\n", "https://portal.example/portal/invitation#pil_abc", "https://portal.example/portal/\n invitation#pil_\nabc"} {
		if got := letter.Token(pasted); got != "pil_abc" {
			t.Errorf("%q is taken for %q", pasted, got)
		}
	}
}
