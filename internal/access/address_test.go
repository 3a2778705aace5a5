package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/access/policy"
	"postern/internal/directory/imports"
	"postern/internal/directory/source/sourcetest"
)

// importCSV imports portal users: lines of id, name, email and active.
func (c clinic) importCSV(t *testing.T, lines ...string) imports.Summary {
	t.Helper()
	content := sourcetest.PortalUsersHeader + strings.Join(lines, "\n") + "\n"
	summary, err := imports.CSV(t.Context(), c.pool, []imports.File{{Name: "u.csv", Content: strings.NewReader(content)}}, imports.Options{Actor: "staff:ada"})
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

func (c clinic) importFHIR(t *testing.T, resources ...string) {
	t.Helper()
	if _, err := imports.FHIR(t.Context(), c.pool, sourcetest.Folder("Patient.ndjson", strings.Join(resources, "\n")), imports.Options{Actor: "staff:ada"}); err != nil {
		t.Fatal(err)
	}
}

func patient(id, email, more string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"name":[{"given":["Noor"],"family":"Haddad"}],"telecom":[{"system":"email","value":%q}]%s}`, id, email, more)
}

// getsLinks returns the portal users to whose own address a link goes, whoever asks for it.
func (c clinic) getsLinks(t *testing.T, ids ...string) (got []string) {
	t.Helper()
	for _, id := range ids {
		c.clock.move(askedAlready)
		u, err := c.portalUserByID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		if u.email != "" {
			asked = len(c.linksOf(t, u.email, id))
		}
		_, err = c.InviteByMail(t.Context(), operator, id)
		if err != nil && !errors.Is(err, ErrUnconfirmed) && !errors.Is(err, ErrNoAddress) {
			t.Fatal(err)
		}
		if (asked == 1) != (err == nil) {
			t.Errorf("%s: asking gives %d links, and staff get %v", id, asked, err)
		}
		if err == nil {
			got = append(got, id)
		}
	}
	return got
}

// linksOf asks for links to an address, and returns those of a portal user.
func (c clinic) linksOf(t *testing.T, email, id string) (own []Invitation) {
	t.Helper()
	all, err := c.InviteAddress(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range all {
		if u, _, err := c.invitedPortalUser(t.Context(), made.Token); err != nil {
			t.Fatal(err)
		} else if u.id == id {
			own = append(own, made)
		}
	}
	return own
}

// former returns the former addresses that are to be told.
func (c clinic) former(t *testing.T) (told []string) {
	t.Helper()
	c.clock.move(time.Minute) // the database's clock is ahead
	due, err := c.DueNotices(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range due {
		told = append(told, n.PortalUserID+": "+n.Former)
	}
	slices.Sort(told)
	return told
}

const evil = "evil@elsewhere.example"

// An import can't quietly take an account over: for a day no link to set a password goes to an
// address that an account has since an import, however the import gave it. The sessions of the
// account end, and its former address is told.
func TestAnImportTakesNoAccountOver(t *testing.T) {
	both, noor, mallory := []string{"noor", "mallory"}, []string{"noor"}, []string{"mallory"}
	for name, x := range map[string]struct {
		change func(*testing.T, clinic)
		links  []string // who gets links at once. A day later everyone does who has an address.
		told   []string
		stay   bool // noor's session does not end
	}{
		"nothing":                 {func(*testing.T, clinic) {}, both, nil, true},
		"a name, and the case":    {func(t *testing.T, c clinic) { c.importCSV(t, "noor,N. Haddad,NOOR@Home.Example,true") }, both, nil, true},
		"another address":         {func(t *testing.T, c clinic) { c.importCSV(t, "noor,Noor,"+evil+",true") }, mallory, []string{"noor: noor@home.example"}, false},
		"another address by FHIR": {func(t *testing.T, c clinic) { c.importFHIR(t, patient("noor", evil, "")) }, mallory, []string{"noor: noor@home.example"}, false},
		"by hand": {func(t *testing.T, c clinic) {
			c.exec(t, `UPDATE app.portal_users SET email = $1, email_version = email_version + 1 WHERE portal_user_id = 'noor'`, evil)
		}, mallory, []string{"noor: noor@home.example"}, false},
		"removed": {func(t *testing.T, c clinic) { c.importCSV(t, "noor,Noor,,true") }, mallory, []string{"noor: noor@home.example"}, false},
		"removed, then another": {func(t *testing.T, c clinic) {
			c.importCSV(t, "noor,Noor,,true")
			c.importCSV(t, "noor,Noor,"+evil+",true")
		}, mallory, []string{"noor: noor@home.example"}, false},
		"removed, and another days later": {func(t *testing.T, c clinic) {
			c.importCSV(t, "noor,Noor,,true")
			c.exec(t, `UPDATE app.address_changes SET changed_at = changed_at - interval '2 days'`)
			c.importCSV(t, "noor,Noor,"+evil+",true")
		}, mallory, []string{"noor: noor@home.example"}, false},
		"deactivated, changed, and activated again": {func(t *testing.T, c clinic) {
			c.importCSV(t, "noor,Noor,noor@home.example,false")
			c.importCSV(t, "noor,Noor,"+evil+",false")
			c.importCSV(t, "noor,Noor,"+evil+",true")
		}, mallory, []string{"noor: noor@home.example"}, false},
		"deleted and added again by FHIR, with the same id": {func(t *testing.T, c clinic) {
			c.importFHIR(t, patient("noor", "noor@home.example", ""))
			c.importFHIR(t, patient("noor", "noor@home.example", `,"active":false`))
			c.importFHIR(t, patient("noor", evil, `,"active":true`))
		}, mallory, []string{"noor: noor@home.example"}, false},
		"swapped": {func(t *testing.T, c clinic) {
			c.importCSV(t, "noor,Noor,mallory@home.example,true", "mallory,Mallory,noor@home.example,true")
		}, nil, []string{"mallory: mallory@home.example", "noor: noor@home.example"}, false},
		"now shared with another account": {func(t *testing.T, c clinic) { c.importCSV(t, "noor,Noor,mallory@home.example,true") }, mallory, []string{"noor: noor@home.example"}, false},
		"given to another account too":    {func(t *testing.T, c clinic) { c.importCSV(t, "mallory,Mallory,noor@home.example,true") }, noor, []string{"mallory: mallory@home.example"}, true},
		"there and back": {func(t *testing.T, c clinic) {
			c.importCSV(t, "noor,Noor,"+evil+",true")
			c.importCSV(t, "noor,Noor,noor@home.example,true")
		}, mallory, []string{"noor: " + evil, "noor: noor@home.example"}, false},
		"changed by the patient that it replaces": {func(t *testing.T, c clinic) {
			c.importFHIR(t, patient("noor", "noor@home.example", ""), patient("other", evil, ""))
			c.importFHIR(t, patient("noor", evil, `,"link":[{"type":"replaces","other":{"reference":"Patient/other"}}]`))
		}, mallory, []string{"noor: noor@home.example"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			c.enrol(t, "noor", "noor@home.example", good)
			c.enrol(t, "mallory", "mallory@home.example", "another brook under the mill")
			c.exec(t, `INSERT INTO app.sessions (token_hash, realm, data, expires_at, seen_at) VALUES ('h', 'portal_user',
				'{"values": {"subject": "noor", "id": "0197aaaa-0000-7000-8000-000000000001", "begun": "1", "method": "password"}}', now() + interval '1 hour', now())`)
			before, err := c.Invite(t.Context(), operator, "noor")
			if err != nil {
				t.Fatal(err)
			}
			x.change(t, c)
			if diff := cmp.Diff(x.links, c.getsLinks(t, both...)); diff != "" {
				t.Errorf("links go to (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(x.told, c.former(t)); diff != "" {
				t.Errorf("to tell (-want +got):\n%s", diff)
			}
			if open := c.count(t, `SELECT count(*) FROM app.sessions WHERE ended_at IS NULL`); (open == 1) != x.stay {
				t.Errorf("%d sessions are open", open)
			}
			if _, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, before); err == nil {
				t.Error("a link of before works, though a newer one was made or the address changed")
			}
			c.clock.move(24 * time.Hour)
			want := both
			if name == "removed" {
				want = mallory
			}
			if diff := cmp.Diff(want, c.getsLinks(t, both...)); diff != "" {
				t.Errorf("a day later links go to (-want +got):\n%s", diff)
			}
		})
	}
}

// Someone without an account has nothing to take over: an invitation goes to a new address at once.
func TestWithoutAnAccountAnAddressChangesFreely(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "noor", "noor@home.example", "")
	if s := c.importCSV(t, "noor,Noor,"+evil+",true"); s.Readdressed != 0 {
		t.Errorf("%d accounts", s.Readdressed)
	}
	if got := c.getsLinks(t, "noor"); len(got) != 1 || c.former(t) != nil {
		t.Errorf("links to %v, notices to %v", got, c.former(t))
	}
}

// A password that is set while an import changes the address is set before, and then the account
// is one whose address changed, or it is refused.
func TestAPasswordIsSetWhileAnImportChangesTheAddress(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "noor", "noor@home.example", "")
	token, err := c.Invite(t.Context(), operator, "noor")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `UPDATE app.portal_users SET email = $1, email_version = email_version + 1`, evil); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error)
	go func() { accepted <- c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, good) }()
	// The acceptance waits for the row of the portal user.
	for c.count(t, `SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`) == 0 {
		select {
		case err := <-accepted:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, ErrInvitation) {
		t.Errorf("the link of the former address: %v", err)
	}
}

// Staff confirm an address once they have asked the person. It counts for that address alone.
func TestConfirmAnAddress(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "noor", "noor@home.example", good)
	c.importCSV(t, "noor,Noor,new@home.example,true")
	known, err := c.PortalAccount(t.Context(), "noor")
	if err != nil || !known.Unconfirmed(c.clock.now()) || known.FormerTold != "waiting" {
		t.Errorf("%+v, %v", known, err)
	}
	if err := c.ConfirmAddress(t.Context(), "staff:ada", "noor", known.AddressVersion-1); !errors.Is(err, ErrOtherAddress) {
		t.Errorf("the former address: %v", err)
	}
	for range 2 {
		if err := c.ConfirmAddress(t.Context(), "staff:ada", "noor", known.AddressVersion); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(c.rec.all(), "address.confirmed"); n == 0 {
		t.Error("nothing is recorded")
	}
	if diff := cmp.Diff([]string{`address.confirmed by staff:ada: {"address_version":1,"portal_user_id":"noor","portal_user_no":1}`}, c.rec.last(t, 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.getsLinks(t, "noor"); len(got) != 1 {
		t.Errorf("links go to %v", got)
	}
	c.importCSV(t, "noor,Noor,"+evil+",true")
	if got := c.getsLinks(t, "noor"); got != nil {
		t.Errorf("after another change links go to %v", got)
	}
	if err := c.ConfirmAddress(t.Context(), "staff:ada", "unknown", 0); !errors.Is(err, ErrNoPortalUser) {
		t.Errorf("of an unknown portal user: %v", err)
	}
}

// Each change is recorded once, with who made it and when, and no address is in it. A lost
// acknowledgement publishes the same event again.
func TestAddressChangesAreRecorded(t *testing.T) {
	c := newClinic(t)
	for i := range recordedTogether + 1 {
		c.exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ($1, 'N', $2, true)`, fmt.Sprintf("pu-%d", i), fmt.Sprintf("a%d@x.example", i))
	}
	c.exec(t, `INSERT INTO app.portal_accounts (portal_user_no, password_hash) SELECT portal_user_no, 'x' FROM app.portal_users`)
	var lines []string
	for i := range recordedTogether + 1 {
		lines = append(lines, fmt.Sprintf("pu-%d,N,b%d@y.example,true", i, i))
	}
	if s := c.importCSV(t, lines...); s.Readdressed != recordedTogether+1 {
		t.Errorf("%d accounts", s.Readdressed)
	}
	c.rec.failNext(errors.New("NATS is away"))
	if _, err := c.RecordAddressChanges(t.Context()); err == nil {
		t.Error("no error")
	}
	for want := range 2 {
		if more, err := c.RecordAddressChanges(t.Context()); err != nil || more != (want == 0) {
			t.Errorf("%v, %v", more, err)
		}
	}
	if got := c.rec.ids("address.changed"); len(got) != recordedTogether+1 {
		t.Errorf("%d events", len(got))
	}
	if got := c.rec.last(t, 1)[0]; !strings.HasPrefix(got, `address.changed by staff:ada: {"portal_user_id":"pu-`) {
		t.Error(got)
	}
	if all := c.rec.all(); strings.Contains(all, "example") {
		t.Error("an address is on the record")
	}
	first := c.rec.ids("address.changed")[0]
	c.exec(t, `UPDATE app.address_changes SET recorded_at = NULL`)
	if _, err := c.RecordAddressChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.rec.ids("address.changed"); got[recordedTogether+1] != first {
		t.Error("a change that is published again is another event")
	}
}

// A flood of changes of one account makes at most three notices a day.
func TestNoticesOfOneAccountAreLimited(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "noor", "noor@home.example", good)
	for i := range 5 {
		c.importCSV(t, fmt.Sprintf("noor,Noor,n%d@x.example,true", i))
	}
	if diff := cmp.Diff([]string{"noor: n0@x.example", "noor: n1@x.example", "noor: noor@home.example"}, c.former(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := c.count(t, `SELECT count(*) FROM app.address_changes`); n != 5 {
		t.Errorf("%d changes are noted", n)
	}
}

// A dry run says how many accounts get another address, and changes nothing.
func TestADryRunCountsAccounts(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "noor", "noor@home.example", good)
	c.enrol(t, "tim", "tim@home.example", "")
	content := sourcetest.PortalUsersHeader + "noor,Noor," + evil + ",true\ntim,Tim,t@home.example,true\n"
	summary, err := imports.CSV(t.Context(), c.pool, []imports.File{{Name: "u.csv", Content: strings.NewReader(content)}}, imports.Options{DryRun: true})
	if err != nil || summary.Readdressed != 1 || c.former(t) != nil {
		t.Errorf("%+v, %v", summary, err)
	}
}
