package access

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/access/session"
	"postern/internal/events"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// within calls do in a request of the browser, as its signed-in subject.
func (b *browser) within(realm policy.Realm, do func(ctx context.Context, who policy.Subject)) {
	b.t.Helper()
	name, middleware := "postern_staff", b.site.Staff
	if realm == policy.RealmPortalUser {
		name, middleware = "postern_portal", b.site.Portal
	}
	done := false
	handler := middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		who, err := policy.SubjectFrom(r.Context())
		if err != nil {
			b.t.Error(err)
			return
		}
		do(r.Context(), who)
		done = true
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: name, Value: b.cookie(name)})
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if !done {
		b.t.Fatal("the request was not made")
	}
}

// listed returns the sessions that the browser's subject sees.
func (b *browser) listed(realm policy.Realm) (sessions []session.Session) {
	b.t.Helper()
	b.within(realm, func(ctx context.Context, who policy.Subject) {
		var err error
		sessions, err = b.site.Sessions(ctx, who)
		must(b.t, err)
	})
	return sessions
}

// People list and end their own sessions, and no one else's.
func TestOwnSessions(t *testing.T) {
	for realm, c := range map[policy.Realm]struct{ path, email, other string }{
		policy.RealmStaff:      {"/staff", "ada@clinic.example", "ben@clinic.example"},
		policy.RealmPortalUser: {"/portal", "noor@home.example", "sam@home.example"},
	} {
		t.Run(string(realm), func(t *testing.T) {
			s := newSite(t)
			s.hire(t, "ada@clinic.example")
			s.hire(t, "ben@clinic.example")
			s.enrol(t, "pu-1", "noor@home.example", good)
			s.enrol(t, "pu-2", "sam@home.example", good)
			signedIn := func(email string) *browser {
				b := s.browser(t)
				b.signIn(c.path, email, good)
				return b
			}
			here, there, third, stranger := signedIn(c.email), signedIn(c.email), signedIn(c.email), signedIn(c.other)

			mine := here.listed(realm)
			this := 0
			for _, one := range mine {
				if one.This {
					this++
				}
				if one.Method != events.ByPassword || time.Since(one.BegunAt).Abs() > time.Minute || time.Since(one.SeenAt).Abs() > time.Minute {
					t.Errorf("a session is %+v", one)
				}
			}
			if len(mine) != 3 || this != 1 {
				t.Errorf("%d sessions are listed, %d of them this one", len(mine), this)
			}
			end := func(b *browser, id uuid.UUID) (err error) {
				b.within(realm, func(ctx context.Context, who policy.Subject) { err = s.EndSession(ctx, who, id) })
				return err
			}
			idOf := func(b *browser) uuid.UUID {
				for _, one := range b.listed(realm) {
					if one.This {
						return one.ID
					}
				}
				t.Fatal("no session is this one")
				return uuid.Nil
			}
			for name, id := range map[string]uuid.UUID{"unknown": uuid.New(), "another's": idOf(stranger)} {
				if err := end(here, id); !errors.Is(err, session.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
			gone := idOf(there)
			must(t, end(here, gone))
			there.is(c.path, "")
			if err := end(here, gone); !errors.Is(err, session.ErrNotFound) {
				t.Errorf("once more: %v", err)
			}
			here.within(realm, func(ctx context.Context, who policy.Subject) { must(t, s.EndOtherSessions(ctx, who)) })
			third.is(c.path, "")
			if n := len(here.listed(realm)); n != 1 {
				t.Errorf("%d sessions are left", n)
			}
			must(t, end(here, idOf(here)))
			here.is(c.path, "")
			if n := len(stranger.listed(realm)); n != 1 {
				t.Errorf("another person has %d sessions", n)
			}
		})
	}
}

// A session in which the code is awaited is not listed, as no one has signed in yet; and ending
// all other sessions ends it.
func TestASessionThatAwaitsItsCode(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	here, there := s.browser(t), s.browser(t)
	s.equip(t, ada)
	there.signIn("/staff", ada.Email, good) // the code is awaited
	s.exec(t, `DELETE FROM record.second_factors`)
	here.signIn("/staff", ada.Email, good)
	if n := len(here.listed(policy.RealmStaff)); n != 1 {
		t.Errorf("%d sessions are listed", n)
	}
	here.within(policy.RealmStaff, func(ctx context.Context, who policy.Subject) { must(t, s.EndOtherSessions(ctx, who)) })
	if n := s.count(t, `SELECT count(*) FROM app.sessions WHERE realm = 'staff' AND ended_at IS NULL`); n != 1 {
		t.Errorf("%d sessions are open", n)
	}
}

// Another person ends all sessions of an account. The event names both; where there is nothing to
// end, there is none.
func TestSessionsThatAnotherPersonEnds(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	s.enrol(t, "pu-1", "noor@home.example", good)
	b, elsewhere := s.browser(t), s.browser(t)
	for _, one := range []*browser{b, elsewhere} {
		one.signIn("/staff", ada.Email, good)
		one.signIn("/portal", "noor@home.example", good)
	}
	end := map[string]func() error{
		"/staff":  func() error { return s.EndStaffSessions(t.Context(), "staff:boss", ada.ID) },
		"/portal": func() error { return s.EndPortalSessions(t.Context(), "staff:boss", "pu-1") },
	}
	for path, want := range map[string]string{
		"/staff":  `sessions.ended by staff:boss: {"account":"staff","id":"` + ada.ID + `"}`,
		"/portal": `sessions.ended by staff:boss: {"account":"portal_user","id":"pu-1"}`,
	} {
		before := s.rec.count()
		// Without the record nothing is ended.
		s.rec.failNext(errors.New("no stream"))
		if err := end[path](); err == nil {
			t.Errorf("%s: it was done without a record", path)
		}
		if _, who := b.do("GET", path); who == "" {
			t.Errorf("%s: the session ended without a record", path)
		}
		must(t, end[path]())
		b.is(path, "")
		elsewhere.is(path, "")
		must(t, end[path]())
		if n := s.rec.count() - before; n != 1 {
			t.Errorf("%s: %d events", path, n)
		}
		if diff := cmp.Diff([]string{want}, s.rec.last(t, 1)); diff != "" {
			t.Errorf("the record (-want +got):\n%s", diff)
		}
	}
	if err := s.EndStaffSessions(t.Context(), "staff:boss", "unknown"); !errors.Is(err, ErrNoStaff) {
		t.Errorf("of unknown staff: %v", err)
	}
	if err := s.EndPortalSessions(t.Context(), "staff:boss", "unknown"); !errors.Is(err, ErrNoPortalUser) {
		t.Errorf("of an unknown portal user: %v", err)
	}
}

// A crash between the event and the end leaves the sessions open. The caller has no answer and
// asks again.
func TestACrashWhileSessionsAreEnded(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	ctx, cancel := context.WithCancel(t.Context())
	s.rec.beforeNext(cancel)
	if err := s.EndStaffSessions(ctx, "staff:boss", ada.ID); err == nil {
		t.Error("it was answered as done")
	}
	b.is("/staff", "staff:"+ada.ID)
	must(t, s.EndStaffSessions(t.Context(), "staff:boss", ada.ID))
	b.is("/staff", "")
}

// In its last half hour a session is not extended, and yet it is known when it was last used. A
// request within a minute writes nothing.
func TestWhenASessionWasLastSeen(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	s.exec(t, `UPDATE app.sessions SET expires_at = now() + interval '9 minutes', data = jsonb_set(data, '{deadline}', to_jsonb(now() + interval '9 minutes')) WHERE realm = 'staff'`)
	b.is("/staff", "staff:"+ada.ID)
	seen := func() (row string, ago time.Duration) {
		t.Helper()
		must(t, s.admin.QueryRow(t.Context(), `SELECT xmin || ' ' || xmax || ' ' || ctid, now() - seen_at FROM app.sessions WHERE realm = 'staff'`).Scan(&row, &ago))
		return row, ago
	}
	before, _ := seen()
	b.is("/staff", "staff:"+ada.ID)
	if after, _ := seen(); after != before {
		t.Errorf("the row was written or locked: %s, then %s", before, after)
	}
	s.exec(t, `UPDATE app.sessions SET seen_at = now() - interval '2 minutes' WHERE realm = 'staff'`)
	b.is("/staff", "staff:"+ada.ID)
	if _, ago := seen(); ago > time.Minute {
		t.Errorf("it was seen %s ago", ago)
	}
}

// The database refuses a session of which a person could not be shown what it is.
func TestASessionSaysWhatItIs(t *testing.T) {
	c := newClinic(t)
	const whole = `{"id":"0197aaaa-0000-7000-8000-000000000001","subject":"s1","begun":"1700000000","method":"password"}`
	for values, taken := range map[string]bool{
		whole:              true,
		`{}`:               true,
		`{"halfway":"s1"}`: true,
		`{"subject":"s1"}`: false,
		`{"id":"0197aaaa-0000-7000-8000-000000000001","begun":"1700000000","method":"password"}`: false,
		`{"id":"0197aaaa-0000-7000-8000-000000000001","subject":"s1","method":"password"}`:       false,
		`{"id":"0197aaaa-0000-7000-8000-000000000001","subject":"s1","begun":"1700000000"}`:      false,
		`{"id":"no id","subject":"s1","begun":"1700000000","method":"password"}`:                 false,
	} {
		_, err := c.admin.Exec(t.Context(), `INSERT INTO app.sessions (token_hash, realm, data, expires_at, seen_at) VALUES ($1, 'staff', jsonb_build_object('values', $2::jsonb), now(), now())`, values, values)
		if (err == nil) != taken {
			t.Errorf("%s: %v", values, err)
		}
	}
}

func TestTheNetworkOfASessionIsCoarse(t *testing.T) {
	for address, want := range map[string]string{"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48"} {
		if got := shownNetwork.Of(netip.MustParseAddr(address).Unmap()); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	if got := shownNetwork.Of(netip.Addr{}); got != "" {
		t.Errorf("no address is %q", got)
	}
}
