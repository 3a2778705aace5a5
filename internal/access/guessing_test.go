package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/access/turn"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/internal/inbound"
)

// newTown is a site behind a proxy, so that browsers have addresses.
func newTown(t *testing.T) site {
	t.Helper()
	return newClinic(t).town(t)
}

func (c clinic) town(t *testing.T) site {
	t.Helper()
	c.cfg.Source = inbound.Coarse{IPv4: 24, IPv6: 48}
	mux := http.NewServeMux()
	mux.Handle("/staff", c.Staff(c.handler(t, policy.RealmStaff)))
	mux.Handle("/portal", c.Portal(c.handler(t, policy.RealmPortalUser)))
	mux.HandleFunc("/link", func(_ http.ResponseWriter, r *http.Request) {
		_ = c.CountLinkRequest(r.Context(), policy.RealmPortalUser, r.FormValue("email"))
	})
	trusted, err := inbound.ParseProxies("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(inbound.NewServer(mux, trusted, slog.New(slog.DiscardHandler)).Handler)
	t.Cleanup(server.Close)
	return site{c, server}
}

// restarted is the site after its process has ended and started again.
func (s site) restarted(t *testing.T) site {
	t.Helper()
	gate, err := New(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := s.clinic
	c.Gate = gate
	return c.town(t)
}

// at is a browser at an address. It keeps its cookies over restarts of the site.
func (s site) at(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, s, http.Client{Jar: jar, Transport: proxy(address)}}
}

// A proxy reports the address of its client.
type proxy string

func (p proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", string(p))
	return http.DefaultTransport.RoundTrip(r)
}

// Of a stranger's failures the first five of a minute are events at once, with a coarse source.
// One event counts the others once the minute is over. The owner's own mistakes are all events, also
// where strangers fail beside them.
func TestFailuresOfStrangersAreCounted(t *testing.T) {
	s := newTown(t)
	s.clock.at = s.clock.at.Truncate(time.Minute)
	s.enrol(t, "pu-1", "noor@home.example", good)
	home, before := s.at(t, "198.51.100.7"), 0
	home.signIn("/portal", "noor@home.example", good)
	before = s.rec.count()

	for n := range 9 {
		s.at(t, fmt.Sprintf("198.51.100.%d", 100+n)).signIn("/portal", fmt.Sprintf("unknown-%d@home.example", n), "a guess")
	}
	s.at(t, "198.51.100.99").signIn("/portal", "noor@home.example", "a guess")
	for range 2 {
		home.signIn("/portal", "noor@home.example", "a mistake")
	}
	const (
		unknown = `sign_in.failed by process:api: {"account":"portal_user","id":"","method":"password","reason":"no_account","source":"198.51.100.0/24"}`
		own     = `sign_in.failed by process:api: {"account":"portal_user","id":"pu-1","method":"password","reason":"wrong_password","source":"198.51.100.0/24"}`
	)
	if diff := cmp.Diff([]string{unknown, unknown, unknown, unknown, unknown, own, own}, s.rec.last(t, s.rec.count()-before)); diff != "" {
		t.Errorf("within the minute (-want +got):\n%s", diff)
	}

	s.clock.move(59 * time.Second)
	before = s.rec.count()
	for _, after := range []time.Duration{0, time.Second, time.Hour} {
		s.clock.move(after)
		if err := s.PublishCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	minute := s.clock.now().UTC().Add(-time.Hour - time.Minute).Format(time.RFC3339)
	want := []string{`sign_ins.failed by process:api: {"account":"portal_user","by_reason":{"no_account":4,"wrong_password":1},"count":5,"minute":"` + minute + `","source":"198.51.100.0/24"}`}
	if diff := cmp.Diff(want, s.rec.last(t, s.rec.count()-before)); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	if text := s.rec.all(); strings.Contains(text, "198.51.100.9") || strings.Contains(text, "198.51.100.7") || strings.Contains(text, "unknown-") {
		t.Error("the record has an address")
	}
}

// Counts that can't be published are published later, once. When the process stops, those of the
// running minute are published too.
func TestCountsAreNotLost(t *testing.T) {
	s := newTown(t)
	s.clock.at = s.clock.at.Truncate(time.Minute)
	fail := func(n int) {
		for i := range n {
			s.at(t, "192.0.2.1").signIn("/staff", fmt.Sprintf("%d@clinic.example", i), "a guess")
		}
	}
	fail(7)
	s.clock.move(time.Minute)
	before, down := s.rec.count(), errors.New("no stream")
	s.rec.failNext(down)
	if err := s.PublishCounts(t.Context()); !errors.Is(err, down) || s.rec.count() != before {
		t.Errorf("got %v", err)
	}
	fail(6)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	s.RunCounts(stopped, func(err error) { t.Error(err) })
	var counts []string
	for _, line := range s.rec.last(t, 2) {
		_, rest, _ := strings.Cut(line, `"count":`)
		count, _, _ := strings.Cut(rest, ",")
		counts = append(counts, count)
	}
	if diff := cmp.Diff([]string{"2", "1"}, counts); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// Whoever is refused more than ten actions in a minute is on the record, once a minute.
func TestRefusedActionsAreRecorded(t *testing.T) {
	c := newClinic(t)
	c.clock.at = c.clock.at.Truncate(time.Minute)
	ada, ben := c.hire(t, "ada@clinic.example"), c.hire(t, "ben@clinic.example")
	refuse := func(who Staff, action policy.Action, n int) {
		ctx := policy.WithSubject(t.Context(), who.subject(), nil, nil)
		for range n {
			c.CountRefusal(ctx, fmt.Errorf("reading: %w", policy.Allow(who.subject(), action)))
		}
	}
	refuse(ada, policy.SendMessage, 6)
	refuse(ada, policy.SendToGroup, 6)
	refuse(ben, policy.SendMessage, 10)
	c.CountRefusal(t.Context(), policy.Forbidden{Action: policy.SendMessage}) // no one is signed in
	for range 20 {
		c.CountRefusal(policy.WithSubject(t.Context(), ben.subject(), nil, nil), errors.New("not a refusal"))
	}
	before, minute := c.rec.count(), c.clock.now().UTC().Format(time.RFC3339)
	for range 2 {
		c.clock.move(time.Minute)
		if err := c.PublishCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{fmt.Sprintf(`actions.refused by staff:%s: {"account":"staff","actions":["%s","%s"],"count":12,"id":"%s","minute":"%s"}`,
		ada.ID, min(policy.SendMessage, policy.SendToGroup), max(policy.SendMessage, policy.SendToGroup), ada.ID, minute)}
	if diff := cmp.Diff(want, c.rec.last(t, c.rec.count()-before)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// Whatever strangers try, from other networks, and also from the owner's network where the owner
// has a browser that is known: the owner's next right try is accepted at once. A restart changes
// nothing of that.
func TestStrangersNeverLockTheOwnerOut(t *testing.T) {
	s := newTown(t)
	s.enrol(t, "pu-1", "noor@home.example", good)
	s.enrol(t, "pu-2", "sam@home.example", "the password of sam")
	s.hire(t, "ada@clinic.example")
	desk, home := s.at(t, "203.0.113.5"), s.at(t, "198.51.100.7")
	desk.signIn("/staff", "ada@clinic.example", good)
	home.signIn("/portal", "noor@home.example", good)
	strangers := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1", "198.51.100.7", "203.0.113.5"})
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(0, 12).Draw(r, "tries") {
			stranger := s.at(t, strangers.Draw(r, "address"))
			switch rapid.IntRange(0, 5).Draw(r, "kind") {
			case 0:
				stranger.signIn("/staff", "ada@clinic.example", "a guess")
			case 1:
				stranger.signIn("/portal", "sam@home.example", rapid.SampledFrom([]string{"a guess", "the password of sam"}).Draw(r, "password"))
			case 2:
				if response, err := stranger.PostForm(s.URL+"/link", map[string][]string{"email": {"noor@home.example"}}); err == nil {
					_ = response.Body.Close()
				}
			case 3:
				s.clock.move(time.Duration(rapid.IntRange(0, 1000).Draw(r, "seconds")) * time.Second)
			default:
				stranger.signIn("/portal", "noor@home.example", "a guess")
			}
		}
		if rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
			s = s.restarted(t)
			desk.site, home.site = s, s
		}
		newPhone := s.at(t, "198.51.101.8") // in a network without strangers
		for who, status := range map[string]int{
			"staff at their desk":               desk.signIn("/staff", "ada@clinic.example", good),
			"a portal user at home":             home.signIn("/portal", "noor@home.example", good),
			"a portal user with a new phone":    newPhone.signIn("/portal", "noor@home.example", good),
			"the same, with the phone, a while": newPhone.signIn("/portal", "noor@home.example", good),
		} {
			if status != http.StatusOK {
				r.Fatalf("%s: status %d", who, status)
			}
		}
	})
}

// While as many suspects wait as may, they get 429, and the owner still signs in, also where strangers
// have used up the tries of the owner's network.
func TestTheOwnerSignsInWhileSuspectsWait(t *testing.T) {
	s := newTown(t)
	s.enrol(t, "pu-1", "noor@home.example", good)
	home := s.at(t, "198.51.100.7")
	home.signIn("/portal", "noor@home.example", good)
	for n := range 4 {
		s.at(t, "192.0.2.1").signIn("/portal", fmt.Sprintf("%d@home.example", n), "a guess")
	}
	var full error
	for n := 0; full == nil; n++ {
		visit, err := s.passwords.turns.Enter(turn.Suspect, fmt.Sprint(n))
		if full = err; err == nil {
			defer visit.Leave()
		}
	}
	for range triesPerMinute {
		_ = s.tries.count(string(SigningInPortal)+" 198.51.100.7/32", s.clock.now())
	}
	for who, c := range map[string]struct {
		b    *browser
		want int
	}{
		"a suspect":   {s.at(t, "192.0.2.1"), http.StatusTooManyRequests},
		"a neighbour": {s.at(t, "198.51.100.7"), http.StatusTooManyRequests},
		"a newcomer":  {s.at(t, "203.0.113.5"), http.StatusOK},
		"the owner":   {home, http.StatusOK},
		"a new phone": {s.at(t, "203.0.113.6"), http.StatusOK},
	} {
		if got := c.b.signIn("/portal", "noor@home.example", good); got != c.want {
			t.Errorf("%s: status %d, want %d", who, got, c.want)
		}
	}
	if n := s.count(t, `SELECT count(*) FROM app.sign_in_tries`); n != 4 {
		t.Errorf("%d tries are counted, want those that were checked and failed", n)
	}
}

// A try that had no turn was not checked, and is not counted: the person is told to try again, and may.
func TestATryWithoutATurnIsNotCounted(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "ada@clinic.example")
	var held []func()
	for range slots() {
		done, err := c.passwords.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, done)
	}
	c.passwords.wait = time.Millisecond
	for range 20 {
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: good}); !errors.As(err, new(TooSoon)) {
			t.Fatalf("without a turn: %v", err)
		}
	}
	c.passwords.wait = longestWait
	for _, done := range held {
		done()
	}
	if _, err := c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: good}); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// A network is served after others once it has failed three times, by whatever way.
func TestANetworkThatFailsIsASuspect(t *testing.T) {
	s := newTown(t)
	s.hire(t, "ada@clinic.example")
	classOf := func(address string) (class turn.Class) {
		h := inbound.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { class, _ = s.passwords.networkOf(r.Context()) }), nil, slog.New(slog.DiscardHandler)).Handler
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = address
		h.ServeHTTP(httptest.NewRecorder(), r)
		return class
	}
	for n := range 3 {
		if class := classOf("192.0.2.1:1"); class != turn.Quiet {
			t.Errorf("after %d failures the class is %d", n, class)
		}
		s.at(t, "192.0.2.1").signIn("/staff", fmt.Sprintf("%d@clinic.example", n), "a guess")
	}
	if class := classOf("192.0.2.1:1"); class != turn.Suspect {
		t.Errorf("after three failures the class is %d", class)
	}
	if class := classOf("192.0.2.2:1"); class != turn.Quiet {
		t.Errorf("a neighbour's class is %d", class)
	}
	if class := classOf("[2001:db8::1]:1"); class != turn.Quiet {
		t.Errorf("another's class is %d", class)
	}
}

// Passwords that people set have their turns too, as those of a person who is signed in.
func TestNewPasswordsHaveTurns(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	ctx := policy.WithSubject(t.Context(), ada.subject(), nil, nil)
	if class, key := c.passwords.clientOf(ctx); class != turn.Known || key != ada.subject().Actor() {
		t.Errorf("staff are class %d, client %q", class, key)
	}
	link := c.link(t, ada)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var held []func()
	for range slots() {
		done, err := c.passwords.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, done)
	}
	if err := c.AcceptInvitation(gone, policy.RealmStaff, link, good); !errors.Is(err, context.Canceled) {
		t.Errorf("with no turn left: %v", err)
	}
	for _, done := range held {
		done()
	}
	if err := c.AcceptInvitation(ctx, policy.RealmStaff, link, good); err != nil {
		t.Error(err)
	}
}

// The clinic's name and the person's own are no passwords, wherever a password is set.
func TestPasswordsOfTheClinicsContextAreRefused(t *testing.T) {
	c := newClinic(t)
	c.cfg.Clinic = func(context.Context) string { return "Lakeside Practice" }
	ada := c.hire(t, "ada.lovelace@clinic.example")
	c.enrol(t, "pu-1", "noor@home.example", good)
	for _, password := range []string{"Lakeside-2026-!", "lovelace-19840211", "brook-brook-1984"} {
		_, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: "lovelace@clinic.example", Name: "Ben Brook", Password: password})
		if !errors.Is(err, passwords.ErrRefused) {
			t.Errorf("creating staff with %q: %v", password, err)
		}
		if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, c.link(t, ada), password); !errors.Is(err, passwords.ErrRefused) {
			t.Errorf("setting %q for staff: %v", password, err)
		}
	}
	for _, password := range []string{"Lakeside-2026-!", "haddad-19840211", "noor1984haddad"} {
		if err := c.SetPortalPassword(t.Context(), operator, "pu-1", password); !errors.Is(err, passwords.ErrRefused) {
			t.Errorf("setting %q for a portal user: %v", password, err)
		}
		if err := c.ChangePortalPassword(t.Context(), policy.Subject{Realm: policy.RealmPortalUser, ID: "pu-1"}, good, password); !errors.Is(err, passwords.ErrRefused) {
			t.Errorf("changing to %q: %v", password, err)
		}
	}
}
