package letter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic is Letters that sends through post, with its gate and log lines.
type clinic struct {
	*letter.Letters
	gate *access.Gate
	logs chan string
	post func(kind, to, link string) error
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	url := storetest.New(t)
	_, err := storetest.Open(t, url, store.RoleAdmin).Exec(t.Context(), `INSERT INTO app.portal_users (portal_user_id, name, email, active)
		VALUES ('pu-1', 'Noor Haddad', 'noor@home.example', true), ('pu-2', 'Tim Haddad', '', true)`)
	if err != nil {
		t.Fatal(err)
	}
	c := &clinic{logs: make(chan string, 100), post: func(string, string, string) error { return nil }}
	c.gate, err = access.New(access.Config{Pool: storetest.Open(t, url, store.RoleAPI), PasswordCost: access.TestCost,
		Facts: facts.Publisher{Source: "/api", Send: func(context.Context, ...events.Event) (uint64, error) {
			return 0, errors.New("letters publish no events")
		}}})
	if err != nil {
		t.Fatal(err)
	}
	c.Letters = letter.New(letter.Config{Gate: c.gate, PublicURL: "https://portal.example/", Pause: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(c, nil)),
		SendInvitation: func(_ context.Context, to, link string) error { return c.post("invitation", to, link) },
		SendReset:      func(_ context.Context, to, link string) error { return c.post("reset", to, link) }})
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

var administrator = policy.Subject{Realm: policy.RealmStaff, ID: "ada", Permissions: []policy.Permission{policy.ImportDirectory}}

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
	if err := c.gate.SetPortalPassword(t.Context(), "pu-1", "a brook under the mill"); err != nil {
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
	if err := c.RequestLinks(t.Context(), "noor@home.example"); err != nil {
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
	if err := c.RequestLinks(t.Context(), "noor@home.example"); err != nil {
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
		err := c.RequestLinks(t.Context(), fmt.Sprintf("unknown-%d@home.example", i))
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
	if err := errors.Join(o.RequestLinks(t.Context(), "noor@home.example"), o.Invite(t.Context(), administrator, "pu-1")); o.Enabled() || strings.Count(err.Error(), letter.ErrOff.Error()) != 2 {
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
