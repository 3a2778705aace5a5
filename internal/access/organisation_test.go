package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/access/groups"
	"postern/internal/access/oidc"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/events"

	"github.com/google/go-cmp/cmp"
)

const issuer = "https://login.clinic.example"

// at is a person at the organisation, whose address it has verified.
func at(subject, email string) oidc.Identity {
	return oidc.Identity{Issuer: issuer, Subject: subject, Email: email}
}

// comes signs a person in at the organisation and returns the id of their account, or the
// reason for which they are refused.
func (c clinic) comes(t *testing.T, who oidc.Identity) string {
	t.Helper()
	subject, err := c.SignInByOrganisation(t.Context(), who)
	if refusal := (OrganisationRefusal{}); errors.As(err, &refusal) {
		return refusal.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	if subject.Method != events.ByOrganisation {
		t.Errorf("they signed in by %q", subject.Method)
	}
	return subject.ID
}

// The address serves for the first sign-in. After it the issuer's id of the person alone
// says whose account it is, whatever addresses the two have.
func TestTheFirstSignInLinks(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example"), c.hire(t, "ben@clinic.example")
	if got := c.comes(t, at("1", "ADA@clinic.example")); got != ada.ID {
		t.Fatalf("signed in as %s", got)
	}
	if diff := cmp.Diff([]string{
		fmt.Sprintf(`identity.linked by staff:%s: {"issuer":%q,"staff_id":%q}`, ada.ID, issuer, ada.ID),
		fmt.Sprintf(`signed_in by staff:%s: {"account":"staff","id":%q,"method":"organisation"}`, ada.ID, ada.ID),
	}, c.rec.last(t, 2)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	linked, err := c.StaffByID(t.Context(), ada.ID)
	must(t, err)
	if linked.LinkedAt == nil || linked.LinkedTo != issuer {
		t.Errorf("linked at %v to %q", linked.LinkedAt, linked.LinkedTo)
	}
	before := len(c.rec.ids(events.TypeIdentityLinked))
	unverified := at("1", "")
	for name, who := range map[string]oidc.Identity{"again": at("1", "ada@clinic.example"), "with a new address": at("1", "ada.new@clinic.example"),
		"with another's address": at("1", ben.Email), "with no verified address": unverified} {
		if got := c.comes(t, who); got != ada.ID {
			t.Errorf("%s: %s", name, got)
		}
	}
	// The address of the account changes: the link stays, and the new address links no one else.
	newer := "ada.brook@clinic.example"
	if _, err := c.ChangeStaff(t.Context(), operator, ada.ID, StaffChange{Email: &newer}); err != nil {
		t.Fatal(err)
	}
	if got := c.comes(t, at("1", "ada@clinic.example")); got != ada.ID {
		t.Errorf("after a change of the account's address: %s", got)
	}
	if got := c.comes(t, at("2", newer)); got != "other_identity" {
		t.Errorf("another person with the new address: %s", got)
	}
	if after := len(c.rec.ids(events.TypeIdentityLinked)); after != before {
		t.Errorf("%d further links were made", after-before)
	}
	if all := c.rec.all(); strings.Contains(all, "@") {
		t.Errorf("the record names an address:\n%s", all)
	}
}

// Nothing on the record depends on the issuer's id of a person: two clinics with the same
// events can't compare them, and a guess can't be checked.
func TestTheRecordDoesNotKnowTheSubject(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	who := at("a very particular subject", ada.Email)
	c.comes(t, who)
	first := c.count(t, `SELECT count(*) FROM app.identities WHERE subject_hash = $1`, subjectHash(who))
	must(t, c.Unlink(t.Context(), operator, ada.ID))
	c.comes(t, who)
	ids := c.rec.ids(events.TypeIdentityLinked)
	if first != 1 || len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("%d identities are kept, and the events are %v", first, ids)
	}
	if all := c.rec.all(); strings.Contains(all, who.Subject) || strings.Contains(all, fmt.Sprintf("%x", subjectHash(who))) {
		t.Errorf("the record knows the subject:\n%s", all)
	}
	for _, column := range []string{"identity_id::text", "staff_id", "encode(subject_hash, 'escape')"} {
		if n := c.count(t, `SELECT count(*) FROM app.identities WHERE `+column+` LIKE '%particular%'`); n != 0 {
			t.Errorf("%s holds the subject in clear", column)
		}
	}
}

// Who is refused, with which reason, and that the failure is recorded for the account that is
// meant.
func TestWhomTheOrganisationDoesNotSignIn(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*testing.T, clinic, Staff)
		who    oidc.Identity
		reason string
		known  bool // the failure names the account
	}{
		{"an unknown address", nil, at("1", "eve@clinic.example"), "no_account", false},
		{"an address that is none", nil, at("1", "\x00"), "no_account", false},
		{"no verified address", nil, at("1", ""), "unverified_address", false},
		{"a disabled account", func(t *testing.T, c clinic, ada Staff) { must(t, c.Disable(t.Context(), operator, ada.ID)) },
			at("1", "ada@clinic.example"), "inactive", true},
		{"a disabled account that is linked", func(t *testing.T, c clinic, ada Staff) {
			c.comes(t, at("1", ada.Email))
			must(t, c.Disable(t.Context(), operator, ada.ID))
		}, at("1", ""), "inactive", true},
		{"another person with the address", func(t *testing.T, c clinic, ada Staff) { c.comes(t, at("1", ada.Email)) },
			at("2", "ada@clinic.example"), "other_identity", true},
		{"the same id at another issuer", func(t *testing.T, c clinic, ada Staff) { c.comes(t, at("1", ada.Email)) },
			oidc.Identity{Issuer: "https://other.example", Subject: "1", Email: "ada@clinic.example"}, "other_identity", true},
		{"an identity that is lost", func(t *testing.T, c clinic, ada Staff) {
			c.comes(t, at("1", ada.Email))
			c.exec(t, `DELETE FROM app.identities`)
		}, at("1", "ada@clinic.example"), "other_identity", true},
		{"an identity that is not on the record", func(t *testing.T, c clinic, ada Staff) {
			c.comes(t, at("1", ada.Email))
			c.exec(t, `DELETE FROM record.identities`)
		}, at("1", "eve@clinic.example"), "no_account", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			town := newClinic(t)
			ada := town.hire(t, "ada@clinic.example")
			if c.set != nil {
				c.set(t, town, ada)
			}
			if got := town.comes(t, c.who); got != c.reason {
				t.Fatalf("got %s, want %s", got, c.reason)
			}
			meant := ""
			if c.known {
				meant = ada.ID
			}
			want := fmt.Sprintf(`sign_in.failed by process:api: {"account":"staff","id":%q,"method":"organisation","reason":%q}`, meant, c.reason)
			if got := town.rec.last(t, 1)[0]; got != want {
				t.Errorf("recorded %s, want %s", got, want)
			}
		})
	}
}

// An administrator who gives an account another address does not take it over at the
// organisation: for three days the address links no one, and its former owner was told.
func TestAChangedAddressLinksLater(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	other := "mallory@clinic.example"
	if _, err := c.ChangeStaff(t.Context(), operator, ada.ID, StaffChange{Email: &other}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		wait time.Duration
		want string
	}{{0, "address_changed"}, {firstLinkAfter - time.Second, "address_changed"}, {time.Second, ada.ID}} {
		c.clock.move(step.wait)
		if got := c.comes(t, at("1", other)); got != step.want {
			t.Errorf("after %s more: %s, want %s", step.wait, got, step.want)
		}
	}
	// No one has used the account of an invited person: a mistake in its address is corrected.
	noel, _ := c.invite(t, "neol@clinic.example")
	right := "noel@clinic.example"
	if _, err := c.ChangeStaff(t.Context(), operator, noel.ID, StaffChange{Email: &right}); err != nil {
		t.Fatal(err)
	}
	if got := c.comes(t, at("2", right)); got != noel.ID {
		t.Errorf("an invited person: %s", got)
	}
}

// A link and its end end all sessions. After the end, the address counts once more.
func TestUnlinking(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	signedIn := func() *browser {
		b := s.browser(t)
		b.signIn("/staff", ada.Email, good)
		return b
	}
	open := func() int {
		n, err := s.OpenSessions(t.Context(), policy.RealmStaff, ada.ID)
		must(t, err)
		return n
	}
	ends := func(what string, do func()) {
		t.Helper()
		signedIn()
		before := open()
		do()
		if after := open(); before == 0 || after != 0 {
			t.Errorf("%s leaves %d of %d sessions open", what, after, before)
		}
	}
	recorded := func(want string) {
		t.Helper()
		if got := s.rec.last(t, 1)[0]; got != want {
			t.Errorf("recorded %s, want %s", got, want)
		}
	}
	ends("a link", func() { s.comes(t, at("1", ada.Email)) })
	must(t, s.Unlink(t.Context(), operator, ada.ID))
	recorded(fmt.Sprintf(`identity.unlinked by operator:test: {"staff_id":%q}`, ada.ID))
	if n := s.count(t, `SELECT count(*) FROM app.identities`); n != 0 {
		t.Errorf("%d identities are kept", n)
	}
	if got := s.comes(t, at("2", ada.Email)); got != ada.ID {
		t.Errorf("another identity after the end: %s", got)
	}
	if got := s.comes(t, at("1", ada.Email)); got != "other_identity" {
		t.Errorf("the former identity: %s", got)
	}
	ends("an administrator's unlinking", func() { must(t, s.Unlink(t.Context(), "staff:boss", ada.ID)) })
	s.comes(t, at("1", ada.Email))

	// A person ends their own link with the password, and not as administrators do.
	if err := s.Unlink(t.Context(), ada.subject().Actor(), ada.ID); !errors.Is(err, ErrOwnIdentity) {
		t.Errorf("without the password: %v", err)
	}
	if err := s.UnlinkOwn(t.Context(), ada.subject(), "another password"); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("with a wrong password: %v", err)
	}
	ends("one's own unlinking", func() { must(t, s.UnlinkOwn(t.Context(), ada.subject(), good)) })
	recorded(fmt.Sprintf(`identity.unlinked by staff:%s: {"staff_id":%q}`, ada.ID, ada.ID))

	before := s.rec.count()
	must(t, s.Unlink(t.Context(), operator, ada.ID))
	if n := s.rec.count() - before; n != 0 {
		t.Errorf("an account without a link: %d events", n)
	}
	if err := s.Unlink(t.Context(), operator, "nobody"); !errors.Is(err, ErrNoStaff) {
		t.Errorf("nobody: %v", err)
	}
	// Without a password one can't end one's own link: no way in would be left.
	noel, _ := s.invite(t, "noel@clinic.example")
	s.comes(t, at("3", noel.Email))
	if err := s.UnlinkOwn(t.Context(), noel.subject(), ""); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("without a password: %v", err)
	}
}

// A crash at any point leaves the account unlinked, or linked; the next try completes it.
func TestACrashWhileLinking(t *testing.T) {
	crash := errors.New("the process ends")
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	who := at("1", ada.Email)
	s.rec.failNext(crash)
	if _, err := s.SignInByOrganisation(t.Context(), who); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	staff, err := s.StaffByID(t.Context(), ada.ID)
	must(t, err)
	if staff.LinkedAt != nil {
		t.Error("the account is linked, and the record does not say so")
	}
	if got := s.comes(t, who); got != ada.ID {
		t.Fatalf("the next try: %s", got)
	}
	// What the crash left is deleted after a day, and the link stays.
	s.clock.move(25 * time.Hour)
	must(t, s.Sweep(t.Context()))
	if n := s.count(t, `SELECT count(*) FROM app.identities`); n != 1 {
		t.Errorf("%d identities are kept", n)
	}
	if got := s.comes(t, who); got != ada.ID {
		t.Errorf("after sweeping: %s", got)
	}
	// A crash after the end of a link was recorded: sessions are open, and a repeat ends them.
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	s.exec(t, `DELETE FROM record.identities`)
	must(t, s.Unlink(t.Context(), operator, ada.ID))
	if n, err := s.OpenSessions(t.Context(), policy.RealmStaff, ada.ID); err != nil || n != 0 {
		t.Errorf("%d sessions are open, %v", n, err)
	}
}

// Of many sign-ins at once, one links, and all are of the same account.
func TestManyFirstSignInsAtOnce(t *testing.T) {
	for name, hired := range map[string]bool{"of an account": true, "of a person who gets one": false} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			c.Gate.cfg.Organisation = Organisation{JustInTime: true, Groups: groups.Mapping{"nurses": {policy.SendPortalMessage}}}
			if hired {
				c.hire(t, "ada@clinic.example")
			}
			who := at("1", "ada@clinic.example")
			who.Name, who.Groups = "Ada Brook", []string{"nurses"}
			var all sync.WaitGroup
			ids, errs := make([]string, 4), make([]error, 4)
			for i := range ids {
				all.Go(func() {
					subject, err := c.SignInByOrganisation(context.WithoutCancel(t.Context()), who)
					ids[i], errs[i] = subject.ID, err
				})
			}
			all.Wait()
			for i := range ids {
				if errs[i] != nil || ids[i] == "" || ids[i] != ids[0] {
					t.Errorf("sign-in %d: %q, %v", i, ids[i], errs[i])
				}
			}
			if n := c.count(t, `SELECT count(*) FROM record.identities r JOIN app.identities a USING (identity_id, staff_id)`); n != 1 {
				t.Errorf("%d links", n)
			}
		})
	}
}

// A person whose groups give a permission gets an account at the first sign-in: all of it is
// on the record before they are signed in, by the organisation and not by a person.
func TestAccountsJustInTime(t *testing.T) {
	c := newClinic(t)
	mapping, err := groups.Parse("nurses=send_portal_message,import_directory;managers=manage_labels")
	must(t, err)
	noel := at("7", "noel@clinic.example")
	noel.Name, noel.Groups = "Noel Novice", []string{"everyone", "nurses"}
	change := func(change func(*oidc.Identity)) oidc.Identity {
		who := noel
		change(&who)
		return who
	}
	c.Gate.cfg.Organisation = Organisation{Groups: mapping}
	refused := func(name string, who oidc.Identity, reason string) {
		t.Helper()
		if got := c.comes(t, who); got != reason {
			t.Errorf("%s: %s, want %s", name, got, reason)
		}
	}
	refused("without the setting", noel, "no_account")
	c.Gate.cfg.Organisation.JustInTime = true
	refused("in no group that counts", change(func(i *oidc.Identity) { i.Groups = []string{"everyone"} }), "no_group")
	refused("with groups left out", change(func(i *oidc.Identity) { i.Groups, i.GroupsLeftOut = nil, true }), "no_group")
	refused("without a verified address", change(func(i *oidc.Identity) { i.Email = "" }), "unverified_address")
	refused("with an address that can't be used", change(func(i *oidc.Identity) { i.Email = "noel" }), "no_account")
	refused("without a name", change(func(i *oidc.Identity) { i.Name = " " }), "no_name")
	refused("with an address as the name", change(func(i *oidc.Identity) { i.Name = i.Email }), "no_name")
	if n := c.count(t, `SELECT count(*) FROM app.staff_accounts`); n != 0 {
		t.Errorf("%d accounts were made", n)
	}
	id := c.comes(t, noel)
	if diff := cmp.Diff([]string{
		fmt.Sprintf(`staff.created by process:organisation: {"name":"Noel Novice","staff_id":%q}`, id),
		fmt.Sprintf(`permission.granted by process:organisation: {"permission":"import_directory","staff_id":%q}`, id),
		fmt.Sprintf(`permission.granted by process:organisation: {"permission":"send_portal_message","staff_id":%q}`, id),
		fmt.Sprintf(`identity.linked by process:organisation: {"issuer":%q,"staff_id":%q}`, issuer, id),
		fmt.Sprintf(`signed_in by staff:%s: {"account":"staff","id":%q,"method":"organisation"}`, id, id),
	}, c.rec.last(t, 5)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	made, err := c.StaffByID(t.Context(), id)
	must(t, err)
	if made.Name != "Noel Novice" || made.Email != noel.Email || made.HasPassword || made.LinkedAt == nil || c.StateOf(made) != StaffActive {
		t.Errorf("made %+v", made)
	}
	if links, err := c.InviteStaffAddress(t.Context(), noel.Email); err != nil || len(links) != 0 {
		t.Errorf("a stranger can ask for links: %v, %v", links, err)
	}
	// Disabled accounts stay out, and no second account is made.
	must(t, c.Disable(t.Context(), operator, id))
	refused("disabled", noel, "inactive")
	refused("disabled, with a new address", change(func(i *oidc.Identity) { i.Email = "new@clinic.example" }), "inactive")
	refused("another person with the address of the disabled account", change(func(i *oidc.Identity) { i.Subject = "8" }), "inactive")
}

// Groups take what groups gave, and nothing that a person gave.
func TestPermissionsFollowGroups(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ReadRecord, policy.ManageLabels)
	mapping, err := groups.Parse("nurses=send_portal_message;managers=manage_labels,import_directory")
	must(t, err)
	c.Gate.cfg.Organisation = Organisation{Groups: mapping}
	who := at("1", ada.Email)
	for _, step := range []struct {
		name    string
		groups  []string
		leftOut bool
		before  func()
		want    string
		events  int // about permissions
	}{
		{"none", nil, false, nil, "manage_labels, read_record", 0},
		{"one", []string{"nurses"}, false, nil, "manage_labels, read_record, send_portal_message", 1},
		{"the same", []string{"nurses"}, false, nil, "manage_labels, read_record, send_portal_message", 0},
		{"another", []string{"managers"}, false, nil, "import_directory, manage_labels, read_record", 2},
		{"left out of the token", nil, true, nil, "import_directory, manage_labels, read_record", 0},
		{"a person took one away", []string{"managers"}, false, func() {
			must(t, c.Forbid(t.Context(), operator, ada.ID, policy.ImportDirectory, policy.ManageLabels))
		}, "import_directory, manage_labels, read_record", 2},
		{"none any more", nil, false, nil, "read_record", 2},
		{"both, one of them given by a person", []string{"nurses"}, false, func() {
			must(t, c.Permit(t.Context(), operator, ada.ID, policy.SendPortalMessage))
		}, "read_record, send_portal_message", 0},
		{"and what a person gave stays", nil, false, nil, "read_record, send_portal_message", 0},
	} {
		if step.before != nil {
			step.before()
		}
		of := func() int {
			return len(c.rec.ids(events.TypePermissionGranted)) + len(c.rec.ids(events.TypePermissionRevoked))
		}
		before := of()
		who.Groups, who.GroupsLeftOut = step.groups, step.leftOut
		c.comes(t, who)
		staff, err := c.StaffByID(t.Context(), ada.ID)
		must(t, err)
		if got := policy.Join(staff.Permissions); got != step.want || of()-before != step.events {
			t.Errorf("%s: %s with %d events, want %s with %d", step.name, got, of()-before, step.want, step.events)
		}
	}
	// Without a mapping, nothing is given or taken.
	who.Groups = []string{"nurses"}
	c.Gate.cfg.Organisation = Organisation{}
	before := c.rec.count()
	c.comes(t, who)
	if n := c.rec.count() - before; n != 1 {
		t.Errorf("%d events without a mapping", n)
	}
}
