package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/labels"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// Story 7: an administrator finds a staff member and gives them Send Bulk Portal Message.
// The event names the administrator.
func TestGiveAPermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)

	admin.Get("/administration/staff").Is(http.StatusOK).
		Says("2 staff members", "Ada Admin", "ada.admin@clinic.example", "Manage Staff", "Nora Nurse", "Send Portal Message")
	admin.Get("/administration/staff?q=NURSE+nora").Says("1 staff member for “NURSE nora”", "Nora Nurse").LacksHTML("ada.admin")
	admin.Get("/administration/staff?q=unknown").Says("No staff match that search.")

	info := admin.Get("/administration/staff/"+nurse.ID).Is(http.StatusOK).
		Says("Staff Info", "Nora Nurse", "System Permissions", "General", "Send Bulk Portal Message", "Portal Users - Active Patients").
		HasHTML(`value="send_portal_message" checked`).LacksHTML(`value="send_bulk_portal_message" checked`)
	if title := between(info.Body, "<title>", "</title>"); title != "Staff Info – Postern" {
		t.Errorf("the title is %q: it is kept in the browser's history", title)
	}

	admin.Post("/administration/staff/"+nurse.ID, ticked("send_portal_message", "send_portal_message", "send_bulk_portal_message")).
		Is(http.StatusOK).Says("Given: Send Bulk Portal Message.", "This is recorded with your name.").HasHTML(`value="send_bulk_portal_message" checked`)
	admin.Post("/administration/staff/"+nurse.ID, ticked("send_portal_message,send_bulk_portal_message", "send_bulk_portal_message", "replay_deliveries")).
		Says("Given: Replay Failed Deliveries.", "Taken away: Send Portal Message.")
	admin.Post("/administration/staff/"+nurse.ID, ticked("send_bulk_portal_message,replay_deliveries", "send_bulk_portal_message", "replay_deliveries")).
		Says("Nothing was changed")

	var said []string
	for _, e := range recorded(t, s, events.TypePermissionGranted, events.TypePermissionRevoked) {
		if strings.Contains(string(e.Data), nurse.ID) && e.Actor == "staff:"+admin.ID {
			said = append(said, string(e.Type)+" "+between(string(e.Data), `"permission":"`, `"`))
		}
	}
	want := "permission.granted send_bulk_portal_message, permission.granted replay_deliveries, permission.revoked send_portal_message"
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
}

// One administrator requests Read the Record, and another one approves it. The pages show what
// waits, and refuse the requester and the staff member whom it is for.
func TestRequestAPermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage)
	ada, ben := s.Staff(t, "Ada Admin", policy.ManageStaff), s.Staff(t, "Ben Boss", policy.ManageStaff)
	const list = "/administration/grants"
	ada.Get(list).Is(http.StatusOK).Says("No permissions are waiting for approval.")

	info := "/administration/staff/" + nurse.ID
	ada.Get(info).Says("It takes two administrators.")
	ada.Post(info, ticked("send_portal_message", "send_portal_message", "read_record", "manage_labels")).
		Says("Given: Manage Custom Labels.", "Requested: Read the Record.", "Requested by Ada Admin").LacksHTML(`value="read_record" checked`)
	id := between(ada.Get(list).Says("Read the Record for Nora Nurse", "You requested this").LacksHTML("/approve\"").Body, `id="grant-`, `"`)
	ada.Post(list+"/"+id+"/approve", nil).Is(http.StatusForbidden).Says("this is your own", "Ask another person: Ben Boss")
	ben.Get(list).Says("by Ada Admin").HasHTML(list + "/" + id + "/approve")
	ben.Post(list+"/"+id+"/approve", nil).Is(http.StatusOK).Says("The permission was given", "Settled requests", "Given")
	ben.Get(info).HasHTML(`value="read_record" checked`)
	ben.Post(list+"/"+id+"/approve", nil).Is(http.StatusConflict).Says("settled before")

	// A changed address takes it away, until another administrator approves it again.
	ben.Post(info+"/change", url.Values{"name": {"Nora Nurse"}, "email": {"nora@clinic.example"}}).Is(http.StatusOK).
		Says("Requested by Ben Boss").LacksHTML(`value="read_record" checked`)
	id = between(ada.Get(list).Says("their e-mail address was changed").Body, `id="grant-`, `"`)
	ada.Post(list+"/"+id+"/withdraw", nil).Is(http.StatusOK).Says("The permission was not given", "Not given")
	for _, nowhere := range []string{"x", "0197aaaa-0000-7000-8000-000000000001"} {
		ada.Post(list+"/"+nowhere+"/approve", nil).Is(http.StatusNotFound)
		ada.Post(list+"/"+nowhere+"/withdraw", nil).Is(http.StatusNotFound)
	}
}

// ticked is the form of System Permissions, drawn while seen was held, with boxes
// ticked.
func ticked(seen string, boxes ...string) url.Values {
	return url.Values{"seen": {seen}, "permission": boxes}
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// The last administrator's Manage Staff can't be taken: the error is at its box, and the
// other ticked boxes stay ticked.
func TestTheLastAdministrator(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	admin.Get("/administration/staff/" + admin.ID).Says("This is you.")
	before := s.Keeps(t)
	admin.Post("/administration/staff/"+admin.ID, ticked("manage_staff", "read_record")).Is(http.StatusUnprocessableEntity).
		Says("There is a problem", "This is the only staff member with Manage Staff. Give it to another staff member first").
		HasHTML(`href="#permission-manage_staff"`, `value="read_record" checked`).LacksHTML(`value="manage_staff" checked`)
	if after := s.Keeps(t); after.Events != before.Events {
		t.Error("the refused change was recorded")
	}

	// With a second administrator it works, and redirects away from the page that they can no longer open.
	other := s.NewStaff(t, "Otto Other", policy.ManageStaff)
	page := admin.Post("/administration/staff/"+admin.ID, ticked("manage_staff", "read_record")).Says("Taken away: Manage Staff.")
	if strings.HasPrefix(page.URL.Path, "/administration") {
		t.Errorf("redirected to %s", page.URL)
	}
	admin.Get("/administration/staff/" + other.ID).Is(http.StatusForbidden)
}

// Two administrators change the same staff member at once: the second sees what the first
// changed before anything of it can be undone.
func TestTwoAdministratorsAtOnce(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage, policy.ReadRecord)
	ada, otto := s.Staff(t, "Ada Admin", policy.ManageStaff), s.Staff(t, "Otto Other", policy.ManageStaff)
	at := "/administration/staff/" + nurse.ID
	const seen = "read_record, send_portal_message"
	ada.Get(at).HasHTML(`name="seen" value="` + seen + `"`)

	otto.Post(at, ticked(seen, "send_portal_message", "manage_labels")).Says("Given: Manage Custom Labels.", "Taken away: Read the Record.")
	page := ada.Post(at, ticked(seen, "send_portal_message", "read_record", "send_bulk_portal_message")).Is(http.StatusUnprocessableEntity).
		Says("Another staff member has just changed these permissions", "Another staff member has just given this permission.", "Another staff member has just taken this permission away.").
		HasHTML(`value="manage_labels" checked`, `value="send_bulk_portal_message" checked`, `value="send_portal_message" checked`).
		LacksHTML(`value="read_record" checked`)
	now := between(page.Body, `name="seen" value="`, `"`)
	ada.Post(at, ticked(now, "send_portal_message", "send_bulk_portal_message", "manage_labels")).Is(http.StatusOK).Says("Given: Send Bulk Portal Message.")
	held, err := s.Web.Gate.StaffByID(t.Context(), nurse.ID)
	if got := fmt.Sprint(held.Permissions); err != nil || got != "[manage_labels send_bulk_portal_message send_portal_message]" {
		t.Errorf("they hold %s, %v", got, err)
	}
}

// A new staff member gets an e-mail with a link, chooses a password with it, and signs in.
// Errors in the form are at their fields. No page takes a password for another person.
func TestAddAStaffMember(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	admin.Get("/administration/staff/new").Is(http.StatusOK).Says("Add a staff member", "choose their own password").LacksHTML("password\"")
	form := func(name, email string) url.Values {
		return url.Values{"name": {name}, "email": {email}, "password": {webtest.Password}}
	}
	for _, c := range []struct {
		form         url.Values
		field, error string
	}{
		{form("", "new@clinic.example"), "name", "Enter a name"},
		{form("", "nowhere"), "name", "Enter a name"},
		{form("", "nowhere"), "email", "The e-mail address can't be used"},
		{form("New", "nowhere"), "email", "The e-mail address can't be used: it is not an e-mail address of the form name@example.org"},
		{form("New", "ADA.admin@clinic.example"), "email", "already exists"},
	} {
		admin.Post("/administration/staff", c.form).Is(http.StatusUnprocessableEntity).Says(c.error).
			HasHTML(`href="#`+c.field+`"`, `value="`+c.form.Get("email")+`"`).LacksHTML(webtest.Password)
	}
	page := admin.Post("/administration/staff", form("Nils New", "nils@clinic.example")).
		Is(http.StatusOK).Says("The staff member was added, and an e-mail with a link", "Nils New", "Invited They can use their link until", "Send the link again")
	at := page.URL.Path
	if !strings.HasPrefix(at, "/administration/staff/0") {
		t.Errorf("redirected to %s, not to their permissions", at)
	}
	admin.Get("/administration/staff").Says("Nils New Invited")
	v := s.SignedOut(t)
	signIn := func(password string, status int) *webtest.Page {
		t.Helper()
		return v.Post("/sign-in", url.Values{"email": {"nils@clinic.example"}, "password": {password}, "next": {"/static/icon.svg"}}).Is(status)
	}
	signIn(webtest.Password, http.StatusUnprocessableEntity)
	link := linkOf(t, s, 1, "nils@clinic.example", "Set up your staff account for secure messages")
	s.Clock.Advance(72*time.Hour + time.Second)
	v.Post("/sign-in/link", url.Values{"link": {link}}).Is(http.StatusGone)
	admin = s.Staff(t, "Otto Other", policy.ManageStaff)
	admin.Get(at).Says("Invitation expired", "Send the link again")
	admin.Post(at+"/link", nil).Is(http.StatusOK).Says("The e-mail with the link is on its way.", "Invited")
	link = linkOf(t, s, 2, "nils@clinic.example", "Set up your staff account for secure messages")
	v.Post("/sign-in/link", url.Values{"link": {link}, "password": {chosen}}).Is(http.StatusOK).Says("Your password is set.")
	signIn(chosen, http.StatusOK)
	v.Get("/administration/staff").Is(http.StatusForbidden).Says("Nils New")
	admin.Get(at).Says("Active", "Send a link for a new password").LacksHTML("Send the link again")
	created := recorded(t, s, events.TypeStaffCreated)
	if last := created[1]; !strings.HasPrefix(last.Actor, "staff:") || !strings.Contains(string(last.Data), "Nils New") {
		t.Errorf("they were created by %s: %s", last.Actor, last.Data)
	}
	issued := recorded(t, s, events.TypeLinkIssued)
	if len(issued) != 2 || issued[1].Actor != "staff:"+admin.ID {
		t.Errorf("the links are %v", issued)
	}
	admin.Get("/administration/staff/unknown").Is(http.StatusNotFound)
	admin.Post("/administration/staff/unknown/link", nil).Is(http.StatusNotFound)
}

// chosen is a password that a staff member chooses.
const chosen = "a brook under the mill"

var linkIn = regexp.MustCompile(`http://\S+`)

// linkOf waits for the nth mail, checks its recipient and subject, and returns its link.
func linkOf(t *testing.T, s *webtest.Site, n int, to, subject string) string {
	t.Helper()
	mail := mailOf(t, s, n)
	if mail.To != to || mail.Letter.Subject != subject || strings.Contains(mail.Letter.Text, "Nils") {
		t.Errorf("%s got %q: %s", mail.To, mail.Letter.Subject, mail.Letter.Text)
	}
	return linkIn.FindString(mail.Letter.Text)
}

func mailOf(t *testing.T, s *webtest.Site, n int) (mail sendgridfake.Mail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	if err := s.Mails.WaitFor(ctx, n); err != nil {
		t.Fatal(err)
	}
	for one := range s.Mails.Accepted() {
		if n--; n == 0 {
			mail = one
		}
	}
	return mail
}

// If the e-mail can't be sent, the staff member is added all the same, and the page says
// what to do.
func TestAddAStaffMemberWithoutEmail(t *testing.T) {
	t.Parallel()
	form := url.Values{"name": {"Nils New"}, "email": {"nils@clinic.example"}}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s := webtest.New(t)
		s.Mails.Queue(sendgridfake.Fail(http.StatusUnauthorized), sendgridfake.Fail(http.StatusUnauthorized))
		admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
		page := admin.Post("/administration/staff", form).Is(http.StatusOK).Says("the e-mail with the link could not be sent", "Nils New", "Send the link again")
		admin.Post(page.URL.Path+"/link", nil).Is(http.StatusUnprocessableEntity).
			Says("The e-mail could not be sent, and earlier links no longer work. Try again in a minute").HasHTML(`href="#link"`)
		admin.Post(page.URL.Path+"/link", nil).Is(http.StatusOK).Says("on its way")
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		s := webtest.New(t, func(c *process.WebConfig) { c.Letters = letter.Config{} })
		admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
		page := admin.Post("/administration/staff", form).Is(http.StatusOK).
			Says("the e-mail with the link could not be sent", "Invitation expired", "postern staff reset").LacksHTML("Send the link again")
		admin.Post(page.URL.Path+"/link", nil).Is(http.StatusUnprocessableEntity).Says("No e-mail can be sent")
	})
}

// An administrator changes a name and an e-mail address. The former address is told, and
// the staff member is signed out. Nobody changes their own address.
func TestChangeAStaffMember(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	nurse := s.Staff(t, "Nora Nurse", policy.SendPortalMessage)
	at := "/administration/staff/" + nurse.ID
	admin.Get(at).HasHTML(`href="` + at + `/change"`)
	admin.Get(at+"/change").Is(http.StatusOK).HasHTML(`value="Nora Nurse"`, `value="nora.nurse@clinic.example"`)
	for _, c := range []struct{ name, email, field, error string }{
		{"", "nora.nurse@clinic.example", "name", "Enter a name"},
		{"Nora", "nowhere", "email", "The e-mail address can't be used"},
		{"Nora", "ada.admin@clinic.example", "email", "already exists"},
	} {
		admin.Post(at+"/change", url.Values{"name": {c.name}, "email": {c.email}}).Is(http.StatusUnprocessableEntity).
			Says(c.error).HasHTML(`href="#`+c.field+`"`, `value="`+c.email+`"`)
	}
	admin.Post(at+"/change", url.Values{"name": {"Nora North"}, "email": {"nora.nurse@clinic.example"}}).Is(http.StatusOK).Says("Saved.", "Nora North")
	nurse.Get("/messages").Says("Nora North")
	admin.Post(at+"/change", url.Values{"name": {"Nora North"}, "email": {"north@clinic.example"}}).Is(http.StatusOK).
		Says("They are signed out, and sign in with the new e-mail address. The former one was told.", "north@clinic.example")
	nurse.Get("/messages").Says("Staff sign-in")
	mail := mailOf(t, s, 1)
	if mail.To != "nora.nurse@clinic.example" || mail.Letter.Subject != "The e-mail address of your staff account has changed" || strings.Contains(mail.Letter.Text, "north") {
		t.Errorf("%s got %q: %s", mail.To, mail.Letter.Subject, mail.Letter.Text)
	}
	s.Mails.Queue(sendgridfake.Fail(http.StatusUnauthorized))
	admin.Post(at+"/change", url.Values{"name": {"Nora North"}, "email": {"nora@clinic.example"}}).Is(http.StatusOK).Says("tell them yourself")

	mine := "/administration/staff/" + admin.ID
	admin.Get(mine).HasHTML(`href="/account"`).LacksHTML(`action="` + mine + `/link"`)
	admin.Get(mine + "/change").Says("You can’t change your own e-mail address.").LacksHTML(`name="email"`)
	admin.Post(mine+"/change", url.Values{"name": {"Ada Admin"}, "email": {"mine@clinic.example"}}).Is(http.StatusUnprocessableEntity).Says("You can't change your own e-mail address")
	admin.Post(mine+"/change", url.Values{"name": {"Ada Above"}}).Is(http.StatusOK).Says("Ada Above")
	admin.Post(mine+"/link", nil).Is(http.StatusUnprocessableEntity).Says("Change your own password at Account")
	admin.Get("/administration/staff/unknown/change").Is(http.StatusNotFound)
	admin.Post("/administration/staff/unknown/change", url.Values{"name": {"X"}}).Is(http.StatusNotFound)
	plain := s.Staff(t, "Plain")
	for _, path := range []string{at + "/change", at + "/link"} {
		plain.Post(path, nil).Is(http.StatusForbidden)
	}
}

// The list of many staff has pages.
func TestManyStaff(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	for i := range 60 {
		id := fmt.Sprintf("many-%02d", i)
		s.Record(t, "operator:test", events.StaffCreated{StaffID: id, Name: fmt.Sprintf("Many %02d", i)})
		s.Exec(t, `INSERT INTO app.staff_accounts (staff_id, email) VALUES ($1, $1 || '@clinic.example')`, id)
	}
	admin.Get("/administration/staff?q=many").Says("60 staff members", "Many 00", "Many 49", "Next page").LacksHTML("Many 50", "Previous page")
	admin.Get("/administration/staff?q=many&from=50").Says("Many 50", "Many 59", "Previous page").LacksHTML("Many 49", "Next page")
}

// Staff without the permission are refused, and see no links to the pages.
func TestStaffPagesNeedThePermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for _, c := range []struct {
		permission policy.Permission
		paths      []string
	}{
		{policy.ManageStaff, []string{"/administration/staff", "/administration/staff/new", "/administration/staff/x"}},
		{policy.ManageLabels, []string{"/administration/labels"}},
	} {
		var others []policy.Permission
		for _, p := range policy.All {
			if p != c.permission {
				others = append(others, p)
			}
		}
		v := s.Staff(t, "Without "+string(c.permission), others...)
		for _, path := range c.paths {
			v.Get(path).Is(http.StatusForbidden).LacksHTML(`href="` + c.paths[0] + `"`)
		}
		v.Post(c.paths[0], nil).Is(http.StatusForbidden)
	}
	s.Staff(t, "Plain").Get("/messages/bcc").LacksHTML("Administration")
	s.SignedOut(t).Get("/administration/staff").Says("Staff sign-in")
	s.PortalUser(t, "ana").Get("/administration/staff").Says("Staff sign-in")
}

// The hints use the clinic's custom labels; the name Send Bulk Portal Message does not change.
func TestPermissionsInTheClinicsWords(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	_, seq, err := s.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{
		Patient: &labels.Label{One: "Client", Many: "Clients"}, PortalUser: &labels.Label{One: "Account", Many: "Accounts"}}))
	if err != nil {
		t.Fatal(err)
	}
	s.Await(t, seq)
	admin.Get("/administration/staff/"+admin.ID).Says("Send Bulk Portal Message", "Accounts - Active Clients", "the links between them").LacksHTML("Patient")
}
