package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/limits"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// opens returns the permissions that a token gives, and whether it works at all.
func (c clinic) opens(t *testing.T, token string) ([]policy.Permission, bool) {
	t.Helper()
	subject, err := c.SubjectOfToken(t.Context(), token)
	if errors.Is(err, policy.ErrUnauthenticated) {
		if subject.Realm != "" {
			t.Errorf("a refused token gives %+v", subject)
		}
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return subject.Permissions, true
}

// What a token permits, and until when: one that was revoked, has expired or whose owner is
// disabled is refused like one that never existed.
func TestWhatATokenOpens(t *testing.T) {
	both := []policy.Permission{policy.ReadRecord, policy.SendPortalMessage}
	day := func(n int) *time.Duration { d := time.Duration(n) * 24 * time.Hour; return &d }
	for name, test := range map[string]struct {
		permits []policy.Permission // of the token; nil: all of its owner's
		expires *time.Duration
		change  func(t *testing.T, c clinic, ada Staff, made Token)
		want    []policy.Permission
		refused bool
	}{
		"everything that its owner may do":                   {want: both},
		"one permission":                                     {permits: []policy.Permission{policy.ReadRecord}, want: []policy.Permission{policy.ReadRecord}},
		"a permission that its owner gained":                 {change: permit(policy.ManageLabels), want: []policy.Permission{policy.ManageLabels, policy.ReadRecord, policy.SendPortalMessage}},
		"not what its owner gained, if it has a list":        {permits: both, change: permit(policy.ManageLabels), want: both},
		"a permission that its owner lost":                   {change: forbid(policy.ReadRecord), want: []policy.Permission{policy.SendPortalMessage}},
		"the rest of a list":                                 {permits: both, change: forbid(policy.ReadRecord), want: []policy.Permission{policy.SendPortalMessage}},
		"nothing of a list that its owner lost":              {permits: []policy.Permission{policy.ReadRecord}, change: forbid(policy.ReadRecord), want: []policy.Permission{}},
		"again, once its owner has the permission":           {permits: []policy.Permission{policy.ReadRecord}, change: inOrder(forbid(policy.ReadRecord), permit(policy.ReadRecord)), want: []policy.Permission{policy.ReadRecord}},
		"a moment before it expires":                         {expires: day(1), change: later(24*time.Hour - time.Second), want: both},
		"nothing once it has expired":                        {expires: day(1), change: later(24 * time.Hour), refused: true},
		"ninety days unless said":                            {change: later(DefaultTokenLifetime - time.Second), want: both},
		"no longer than ninety days unless said":             {change: later(DefaultTokenLifetime), refused: true},
		"nothing once it is revoked":                         {change: revoked, refused: true},
		"nothing while its owner is disabled":                {change: disabled, refused: true},
		"nothing once its owner is enabled again":            {change: inOrder(disabled, enabled), refused: true},
		"nothing if the recorder has not read its creation":  {change: unrecorded, refused: true},
		"nothing if its hash is gone, as with the database":  {change: forgotten, refused: true},
		"all while another token of its owner is revoked":    {change: anotherRevoked, want: both},
		"all while another staff member's token is made":     {change: anothers, want: both},
		"what it permits, whatever is in its name":           {change: renamed, want: both},
		"nothing more for a permission that no longer exist": {change: oddPermission, want: both},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			c.hire(t, "boss@clinic.example", policy.ManageStaff)
			ada := c.hire(t, "ada@clinic.example", both...)
			n := NewToken{Name: "nightly report", Permissions: test.permits}
			if test.expires != nil {
				at := c.clock.now().Add(*test.expires).Truncate(time.Second)
				n.ExpiresAt = &at
			}
			made, token, err := c.CreateToken(t.Context(), ada.subject().Actor(), ada.ID, n)
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(t, c, ada, made)
			}
			got, works := c.opens(t, token)
			if works == test.refused {
				t.Errorf("it works: %t", works)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("it permits (-want +got):\n%s", diff)
			}
		})
	}
}

type change = func(t *testing.T, c clinic, ada Staff, made Token)

func permit(p policy.Permission) change {
	return func(t *testing.T, c clinic, ada Staff, _ Token) { must(t, c.Permit(t.Context(), operator, ada.ID, p)) }
}

func forbid(p policy.Permission) change {
	return func(t *testing.T, c clinic, ada Staff, _ Token) { must(t, c.Forbid(t.Context(), operator, ada.ID, p)) }
}

func later(d time.Duration) change {
	return func(_ *testing.T, c clinic, _ Staff, _ Token) {
		c.clock.set(c.clock.now().Truncate(time.Second).Add(d))
	}
}

func inOrder(first, second change) change {
	return func(t *testing.T, c clinic, ada Staff, made Token) { first(t, c, ada, made); second(t, c, ada, made) }
}

func revoked(t *testing.T, c clinic, ada Staff, made Token) {
	must(t, c.RevokeToken(t.Context(), ada.subject().Actor(), ada.ID, made.ID, events.RevokedByOwner))
}
func disabled(t *testing.T, c clinic, ada Staff, _ Token) {
	must(t, c.Disable(t.Context(), operator, ada.ID))
}
func enabled(t *testing.T, c clinic, ada Staff, _ Token) {
	must(t, c.Enable(t.Context(), operator, ada.ID))
}
func unrecorded(t *testing.T, c clinic, _ Staff, _ Token) { c.exec(t, `DELETE FROM record.tokens`) }
func forgotten(t *testing.T, c clinic, _ Staff, _ Token)  { c.exec(t, `DELETE FROM app.staff_tokens`) }
func renamed(t *testing.T, c clinic, _ Staff, _ Token) {
	c.exec(t, `UPDATE record.tokens SET name = 'manage_staff'`)
}
func oddPermission(t *testing.T, c clinic, _ Staff, _ Token) {
	c.exec(t, `UPDATE record.tokens SET scope = 'listed', permissions = '{read_record,send_portal_message,fly}'`)
}
func anotherRevoked(t *testing.T, c clinic, ada Staff, _ Token) {
	other, _, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "other"})
	must(t, err)
	revoked(t, c, ada, other)
}
func anothers(t *testing.T, c clinic, _ Staff, _ Token) {
	c.token(t, c.hire(t, "ben@clinic.example"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Text that is not a token of ours, or not to the letter, is refused.
func TestTextThatIsNoToken(t *testing.T) {
	c := newClinic(t)
	token := c.token(t, c.hire(t, "ada@clinic.example"))
	never, _ := newToken(staffTokenPrefix)
	link, _ := newToken(portalLinkPrefix)
	swapped := []byte(token)
	swapped[10], swapped[11] = swapped[11]^1, swapped[10] // a wrong checksum
	for name, text := range map[string]string{"never made": never, "of another kind": link, "a wrong checksum": string(swapped), "in capitals": strings.ToUpper(token),
		"cut": token[:len(token)-1], "with more": token + "a", "rubbish": "pst_rubbish", "none": ""} {
		if _, works := c.opens(t, text); works {
			t.Errorf("%s: it works", name)
		}
	}
}

// The token is nowhere but in the answer: not in the tables, and not on the record.
func TestATokenIsKeptHashed(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ReadRecord)
	made, token, err := c.CreateToken(t.Context(), ada.subject().Actor(), ada.ID, NewToken{Name: "report", Permissions: []policy.Permission{policy.ReadRecord}})
	must(t, err)
	secret := strings.TrimPrefix(token, staffTokenPrefix)
	if n := c.count(t, `SELECT count(*) FROM app.staff_tokens t, record.tokens r WHERE strpos(t::text || r::text, $1) > 0 OR strpos(encode(token_hash, 'escape'), $1) > 0`, secret[:12]); n != 0 {
		t.Error("the token itself is kept")
	}
	if strings.Contains(c.rec.all(), secret[:12]) {
		t.Error("the token itself is on the record")
	}
	want := `token.created by staff:` + ada.ID + `: {"expires_at":"` + made.ExpiresAt.UTC().Format(time.RFC3339) + `","name":"report","permissions":["read_record"],"scope":"listed","staff_id":"` + ada.ID + `"}`
	if diff := cmp.Diff([]string{want}, c.rec.last(t, 1)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// All errors in a new token are reported at once, and leave nothing.
func TestNewTokensThatAreRefused(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ReadRecord)
	in := func(d time.Duration) *time.Time { at := c.clock.now().Add(d); return &at }
	before := c.rec.count()
	for name, test := range map[string]struct {
		new  NewToken
		want []error
	}{
		"no name":               {NewToken{}, []error{ErrTokenName}},
		"a blank name":          {NewToken{Name: " \u200b"}, []error{ErrTokenName}},
		"a hidden character":    {NewToken{Name: "a\u202eb"}, []error{ErrTokenName}},
		"a long name":           {NewToken{Name: strings.Repeat("a", int(limits.TokenName)+1)}, []error{ErrTokenName}},
		"no text":               {NewToken{Name: "a\xff"}, []error{ErrTokenName}},
		"an empty list":         {NewToken{Name: "a", Permissions: []policy.Permission{}}, []error{ErrTokenPermissions}},
		"another's permission":  {NewToken{Name: "a", Permissions: []policy.Permission{policy.ReadRecord, policy.ManageStaff}}, []error{ErrTokenPermissions}},
		"an unknown permission": {NewToken{Name: "a", Permissions: []policy.Permission{"fly"}}, []error{ErrTokenPermissions}},
		"expired":               {NewToken{Name: "a", ExpiresAt: in(0)}, []error{ErrTokenExpiry}},
		"longer than the limit": {NewToken{Name: "a", ExpiresAt: in(longestToken + 2*time.Second)}, []error{ErrTokenExpiry}},
		"all of them":           {NewToken{Permissions: []policy.Permission{}, ExpiresAt: in(-time.Hour)}, []error{ErrTokenName, ErrTokenPermissions, ErrTokenExpiry}},
	} {
		_, token, err := c.CreateToken(t.Context(), operator, ada.ID, test.new)
		for _, want := range []error{ErrTokenName, ErrTokenPermissions, ErrTokenExpiry} {
			if errors.Is(err, want) != slices.Contains(test.want, want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		if token != "" {
			t.Errorf("%s: there is a token", name)
		}
	}
	if _, _, err := c.CreateToken(t.Context(), operator, "unknown", NewToken{Name: "a"}); !errors.Is(err, ErrNoStaff) {
		t.Errorf("of unknown staff: %v", err)
	}
	if n := c.count(t, `SELECT count(*) FROM app.staff_tokens`); n != 0 || c.rec.count() != before {
		t.Errorf("%d tokens and %d events were left", n, c.rec.count()-before)
	}
	for range int(limits.Tokens) {
		c.token(t, ada)
	}
	if _, _, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"}); !errors.Is(err, ErrTooManyTokens) {
		t.Errorf("one too many: %v", err)
	}
	c.clock.move(DefaultTokenLifetime) // which is when they expire
	c.token(t, ada)
}

// Whatever the permissions of a token and of its owner are, it gives only what both have.
func TestATokenNeverGivesMore(t *testing.T) {
	some := rapid.SliceOfDistinct(rapid.SampledFrom(policy.All), func(p policy.Permission) policy.Permission { return p })
	rapid.Check(t, func(t *rapid.T) {
		listed, held := some.Draw(t, "listed"), some.Draw(t, "held")
		for _, p := range (Token{Scope: events.ScopeListed, Permissions: listed}).Permits(held) {
			if !slices.Contains(listed, p) || !slices.Contains(held, p) {
				t.Errorf("%s is given", p)
			}
		}
		if diff := cmp.Diff(held, Token{Scope: events.ScopeOwner}.Permits(held)); diff != "" {
			t.Errorf("of the owner's (-want +got):\n%s", diff)
		}
	})
}

// A token that was not recorded never works, and one whose recording is not known to have
// succeeded is only in hands of no one.
func TestACrashWhileATokenIsMade(t *testing.T) {
	t.Run("before the event", func(t *testing.T) {
		c := newClinic(t)
		ada := c.hire(t, "ada@clinic.example")
		c.rec.failNext(errors.New("no stream"))
		if _, token, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"}); err == nil || token != "" {
			t.Errorf("a token was made without a record: %v", err)
		}
		if made, err := c.Tokens(t.Context(), ada.ID); err != nil || len(made) != 0 {
			t.Errorf("it is listed: %+v, %v", made, err)
		}
		// Its hash is deleted in time.
		if n := c.count(t, `SELECT count(*) FROM app.staff_tokens`); n != 1 {
			t.Errorf("%d hashes", n)
		}
		c.clock.move(tokensListed + time.Minute)
		must(t, c.Sweep(t.Context()))
		if n := c.count(t, `SELECT count(*) FROM app.staff_tokens`); n != 0 {
			t.Errorf("%d hashes are left", n)
		}
	})
	t.Run("before the event is read", func(t *testing.T) {
		c := newClinic(t)
		ada := c.hire(t, "ada@clinic.example")
		ctx, cancel := context.WithCancel(t.Context())
		c.rec.beforeNext(cancel) // the client goes: nothing waits for the recorder
		if _, token, err := c.CreateToken(ctx, operator, ada.ID, NewToken{Name: "a"}); err == nil || token != "" {
			t.Errorf("it was answered with a token: %v", err)
		}
		must(t, c.rec.wait(t.Context(), uint64(c.rec.count())))
		made, err := c.Tokens(t.Context(), ada.ID)
		if err != nil || len(made) != 1 || made[0].State != TokenActive {
			t.Fatalf("it is on the record and is not listed: %+v, %v", made, err)
		}
		must(t, c.RevokeToken(t.Context(), operator, ada.ID, made[0].ID, events.RevokedByOwner))
	})
	t.Run("with the account disabled meanwhile", func(t *testing.T) {
		c := newClinic(t)
		c.hire(t, "boss@clinic.example", policy.ManageStaff)
		ada := c.hire(t, "ada@clinic.example")
		c.rec.beforeNext(func() { must(t, c.Disable(t.Context(), operator, ada.ID)) })
		if _, token, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"}); !errors.Is(err, ErrDisabled) || token != "" {
			t.Errorf("a token of a disabled account was made: %v", err)
		}
		must(t, c.Enable(t.Context(), operator, ada.ID))
		if made, err := c.Tokens(t.Context(), ada.ID); err != nil || len(made) != 0 {
			t.Errorf("it is listed: %+v, %v", made, err)
		}
	})
}

// A token works until its revocation is recorded, whatever else fails.
func TestACrashWhileATokenIsRevoked(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	made, token, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"})
	must(t, err)
	c.rec.failNext(errors.New("no stream"))
	if err := c.RevokeToken(t.Context(), operator, ada.ID, made.ID, events.RevokedByOwner); err == nil {
		t.Error("it was revoked without a record")
	}
	if _, works := c.opens(t, token); !works {
		t.Error("a revocation that failed took effect")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.rec.beforeNext(cancel)
	_ = c.RevokeToken(ctx, operator, ada.ID, made.ID, events.RevokedByOwner)
	must(t, c.rec.wait(t.Context(), uint64(c.rec.count())))
	if _, works := c.opens(t, token); works {
		t.Error("it works although the record says that it was revoked")
	}
}

// Two revocations at once both succeed, and are one fact. Another's token can't be revoked, and
// what does not work any more is not revoked again.
func TestRevocations(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example"), c.hire(t, "ben@clinic.example")
	made, token, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"})
	must(t, err)
	revoke := func(owner Staff, id uuid.UUID, why events.TokenRevoke) error {
		return c.RevokeToken(t.Context(), operator, owner.ID, id, why)
	}
	if err := revoke(ben, made.ID, events.RevokedByOwner); !errors.Is(err, ErrNoToken) {
		t.Errorf("another's: %v", err)
	}
	if err := revoke(ada, uuid.New(), events.RevokedByOwner); !errors.Is(err, ErrNoToken) {
		t.Errorf("an unknown one: %v", err)
	}
	before := c.rec.count()
	second := errors.New("the first did not publish")
	c.rec.beforeNext(func() { second = revoke(ada, made.ID, events.RevokedByAdministrator) })
	must(t, revoke(ada, made.ID, events.RevokedByOwner))
	must(t, second)
	if first, last := c.rec.events[before].ID, c.rec.events[c.rec.count()-1].ID; first != last || c.rec.count() != before+2 {
		t.Errorf("two revocations at once are two facts: %s, %s", first, last)
	}
	if now, err := c.Token(t.Context(), made.ID); err != nil || now.State != TokenRevoked || now.RevokedWhy != events.RevokedByAdministrator {
		t.Errorf("the first counts: %+v, %v", now, err)
	}
	must(t, revoke(ada, made.ID, events.RevokedByOwner))
	if c.rec.count() != before+2 {
		t.Error("it was revoked again")
	}
	if _, works := c.opens(t, token); works {
		t.Error("it works")
	}
}

// Tokens are listed, newest first, for a month after they stopped working; then they are deleted.
func TestTokensAreListedAndSwept(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example"), c.hire(t, "ben@clinic.example")
	day := 24 * time.Hour
	create := func(owner Staff, name string, expires time.Duration) Token {
		at := c.clock.now().Add(expires)
		made, _, err := c.CreateToken(t.Context(), operator, owner.ID, NewToken{Name: name, ExpiresAt: &at})
		must(t, err)
		c.clock.move(time.Second)
		return made
	}
	create(ada, "short", day)
	gone := create(ada, "revoked", 300*day)
	create(ben, "ben's", 300*day)
	create(ada, "long", 300*day)
	must(t, c.RevokeToken(t.Context(), operator, ada.ID, gone.ID, events.RevokedByOwner))
	lists := func(owner string, want ...string) {
		t.Helper()
		must(t, c.Sweep(t.Context()))
		made, err := c.Tokens(t.Context(), owner)
		must(t, err)
		var got []string
		for _, one := range made {
			got = append(got, one.Name+" "+string(one.State))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tokens (-want +got):\n%s", diff)
		}
	}
	lists(ada.ID, "long active", "revoked revoked", "short active")
	lists("", "long active", "ben's active", "revoked revoked", "short active")
	c.clock.move(2 * day)
	lists(ada.ID, "long active", "revoked revoked", "short expired")
	c.clock.move(29 * day)
	lists(ada.ID, "long active")
	if n := c.count(t, `SELECT count(*) FROM app.staff_tokens`); n != 2 {
		t.Errorf("%d hashes are kept", n)
	}
}

// The last use is kept to the minute, and a use within a minute writes nothing.
func TestTheLastUse(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	made, token, err := c.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "a"})
	must(t, err)
	row := func() (version string) {
		t.Helper()
		c.lastUses.done.Wait()
		must(t, c.admin.QueryRow(t.Context(), `SELECT xmin || ' ' || coalesce(last_used_at::text, 'never') FROM app.staff_tokens`).Scan(&version))
		return version
	}
	use := func() *time.Time {
		t.Helper()
		if _, works := c.opens(t, token); !works {
			t.Fatal("it does not work")
		}
		c.lastUses.done.Wait()
		now, err := c.Token(t.Context(), made.ID)
		must(t, err)
		return now.LastUsedAt
	}
	if made.LastUsedAt != nil {
		t.Errorf("before it is used: %s", made.LastUsedAt)
	}
	first := c.clock.now()
	if used := use(); used == nil || used.Sub(first).Abs() > time.Millisecond {
		t.Errorf("it was used at %v, not %v", used, first)
	}
	before := row()
	c.clock.move(59 * time.Second)
	use()
	if after := row(); after != before {
		t.Errorf("a use within a minute was written: %s, then %s", before, after)
	}
	c.clock.move(time.Second)
	if used := use(); used == nil || used.Sub(first) < time.Minute-time.Millisecond {
		t.Errorf("a minute later it was used at %v", used)
	}
	// A last use that can't be written fails no request.
	c.exec(t, `REVOKE UPDATE ON app.staff_tokens FROM postern_api`)
	c.clock.move(time.Hour)
	if used := use(); used == nil || used.Sub(first) > time.Hour {
		t.Errorf("it was written: %v", used)
	}
}

// Tokens of versions before 0.3 work again once they are recorded, for ninety days from the
// migration. Those of a disabled account are not recorded, and don't come back with it.
func TestTokensOfEarlierVersions(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "boss@clinic.example", policy.ManageStaff)
	ada, ben := c.hire(t, "ada@clinic.example", policy.ReadRecord), c.hire(t, "ben@clinic.example")
	earlier := func(owner Staff) string {
		token, digest := newToken(staffTokenPrefix)
		c.exec(t, `INSERT INTO app.staff_tokens (token_id, token_hash, staff_id, earlier_until) VALUES (gen_random_uuid(), $1, $2, $3)`,
			digest, owner.ID, c.clock.now().Add(DefaultTokenLifetime))
		return token
	}
	adas, bens := earlier(ada), earlier(ben)
	must(t, c.Disable(t.Context(), operator, ben.ID))
	if _, works := c.opens(t, adas); works {
		t.Error("it works before it is recorded")
	}
	before := c.rec.count()
	for range 2 {
		must(t, c.RecordEarlierTokens(t.Context()))
	}
	if n := c.rec.count() - before; n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if got := c.rec.last(t, 1)[0]; !strings.HasPrefix(got, "token.created by process:api") || !strings.Contains(got, `"made before version 0.3"`) {
		t.Errorf("the record has %s", got)
	}
	if got, works := c.opens(t, adas); !works || !slices.Contains(got, policy.ReadRecord) {
		t.Errorf("recorded, it works: %t, and gives %v", works, got)
	}
	must(t, c.Enable(t.Context(), operator, ben.ID))
	must(t, c.RecordEarlierTokens(t.Context()))
	if _, works := c.opens(t, bens); works {
		t.Error("a token came back with its account")
	}
	c.clock.move(DefaultTokenLifetime)
	if _, works := c.opens(t, adas); works {
		t.Error("it works after ninety days")
	}
}
