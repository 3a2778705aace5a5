package compose_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/web/webtest"
)

// Portal users are found by name, by patient and by e-mail address. Results show whom they
// represent, and chosen ones can be removed.
func TestAddingPortalUsers(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	s.NewPortalUser(t, "ben")
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT u.portal_user_no, p.patient_no, 'representative' FROM app.portal_users u, app.patients p
		WHERE portal_user_id = 'ben' AND patient_id = 'pt-ann'`)
	s.Exec(t, `UPDATE app.patients SET given_name = 'Annika', family_name = 'Berg', status = 'discharged' WHERE patient_id = 'pt-ann'`)
	s.FoldNames(t)
	v := s.Staff(t, "Only One", policy.SendPortalMessage)
	w := compose(t, v)
	search := func(q string) url.Values {
		typed := text("Hello", "text")
		typed.Set("find-user", q)
		return typed
	}
	w.press("find", search("annik")).Is(http.StatusOK).
		Says("Name of ann", "Name of ben", "Authorized Representative of Annika Berg (discharged)", "ben@example.org").HasHTML(`value="Hello"`)
	w.press("find", search("BEN@exam")).Says("Name of ben").LacksHTML("Name of ann")
	w.press("", search("no such name")).Is(http.StatusOK).Says("No one matches that search")
	w.press("add-user:ben", search("ben@")).Is(http.StatusOK).Says("Added").HasHTML(`value="remove-user:ben"`).LacksHTML(`value="add-user:ben"`)
	w.press("add-user:ann", text("Hello", "text")).Is(http.StatusOK).Says("Remove Name of ann", "Remove Name of ben").HasHTML(`value="Hello"`)
	w.press("remove-user:ben", text("Hello", "text")).Is(http.StatusOK).LacksHTML("Remove Name of ben").Says("Remove Name of ann")
	w.press("add-user:no-one", text("Hello", "text")).Is(http.StatusUnprocessableEntity).Says("no longer in the directory").HasHTML(`value="Hello"`)
	w.press("add-user:\x00", text("Hello", "text")).Is(http.StatusUnprocessableEntity)

	v.PostFragment(w.at+"/portal-users", url.Values{"find-user": {"name of"}}).Is(http.StatusOK).Says("Name of ann", "Added", "Name of ben").LacksHTML("<html")
	compose(t, v) // of a draft that is not saved yet, too
	v.PostFragment(compose(t, v).at+"/portal-users", url.Values{"find-user": {"name"}}).Is(http.StatusOK).Says("Name of ann")
	if got := v.PostFragment(w.at+"/portal-users", url.Values{"find-user": {""}}); strings.TrimSpace(got.Text()) != "" {
		t.Errorf("no words find %q", got.Text())
	}
}

// Groups, with their counts, are for staff with Send Bulk Portal Message. For others they
// are not shown, counted, accepted or sent to.
func TestGroupsNeedThePermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	s.NewPortalUser(t, "ben")
	s.Exec(t, `UPDATE app.patients SET status = 'discharged' WHERE patient_id = 'pt-ben'`)
	v := sender(t, s)
	w := compose(t, v)
	names := []string{"Portal Users - Active Patients", "Portal Users - Discharged Patients", "All Portal Users"}
	w.page.Says(names...)
	v.Fragment("/messages/groups/active_patients/count").Is(http.StatusOK).Says("1 portal user now")
	v.Fragment("/messages/groups/all_portal_users/count").Is(http.StatusOK).Says("2 portal users now")
	v.Fragment("/messages/groups/unknown/count").Is(http.StatusNotFound)
	w.press("add-group:active_patients", text("Hello", "text")).Is(http.StatusOK).Says("Remove Portal Users - Active Patients")
	w.press("add-group:unknown", text("Hello", "text")).Is(http.StatusUnprocessableEntity).Says("That group does not exist")

	one := s.Staff(t, "Only One", policy.SendPortalMessage)
	x := compose(t, one)
	x.page.Says("Add User").LacksHTML("Active Patients", "Discharged Patients", "All Portal Users", "add-group")
	x.press("add-group:all_portal_users", text("Hello", "text")).Is(http.StatusForbidden)
	one.Fragment("/messages/groups/active_patients/count").Is(http.StatusForbidden)

	// The permission is taken away while a draft has a group.
	if err := s.Web.Gate.Forbid(t.Context(), "operator:test", v.ID, policy.SendBulkPortalMessage); err != nil {
		t.Fatal(err)
	}
	w.see(v.Get(w.at))
	w.press("check", text("Hello", "text")).Is(http.StatusUnprocessableEntity).Says("no longer have permission to send to groups", "Remove Portal Users - Active Patients")
	v.Get(w.at + "/check").Is(http.StatusUnprocessableEntity)
}

// The buttons use the clinic's custom labels.
func TestGroupsAreNamedInTheClinicsWords(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	_, seq, err := s.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{
		Patient: &labels.Label{One: "Client", Many: "Clients"}, PortalUser: &labels.Label{One: "Member", Many: "Members"},
		Discharged: &labels.Label{One: "Former", Many: "Former ones"}}))
	if err != nil {
		t.Fatal(err)
	}
	s.Await(t, seq)
	compose(t, sender(t, s)).page.Says("Client Portal Message", "Members - Active Clients", "Members - Former Clients", "All Members").
		LacksHTML("Patient Portal", "Portal Users")
}

// Staff are found by name for Staff Bcc. The page says that portal users never see it.
func TestStaffBcc(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	bo := s.NewStaff(t, "Bo Berg")
	v := sender(t, s)
	w := compose(t, v)
	w.page.Says("Portal Users never see their names")
	typed := text("Hello", "text")
	typed.Set("find-staff", "berg bo")
	w.press("find", typed).Is(http.StatusOK).Says("Bo Berg", "bo.berg@clinic.example")
	w.press("add-bcc:"+bo.ID, text("Hello", "text")).Is(http.StatusOK).Says("Remove Bo Berg")
	w.press("add-bcc:unknown", text("Hello", "text")).Is(http.StatusUnprocessableEntity).Says("no longer a staff member")
	v.PostFragment(w.at+"/staff", url.Values{"find-staff": {"bo"}}).Is(http.StatusOK).Says("Bo Berg", "Added")
	v.PostFragment(w.at+"/staff", url.Values{"find-staff": {"unknown"}}).Says("No staff match that search")
	w.press("remove-bcc:"+bo.ID, text("Hello", "text")).Is(http.StatusOK).LacksHTML("Remove Bo Berg")
}

// Several documents are uploaded at once. One that can't be attached is named; the others
// and the typed text stay. The limit holds to the byte.
func TestDocuments(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	w := compose(t, sender(t, s))
	w.page.Says("No documents.")
	w.attach("attach", text("Typed", "and kept"),
		file{"exactly.pdf", pdf(int(limits.AttachmentSize))}, file{"C:\\scans\\one more.pdf", pdf(int(limits.AttachmentSize) + 1)}, file{"note.txt", []byte("Hello")},
		file{"run.exe", append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)}, file{"nothing.txt", nil}).
		Is(http.StatusUnprocessableEntity).
		Says("exactly.pdf "+limits.AttachmentSize.String(), "note.txt 5 bytes", "“one more.pdf” was not added: it is larger than "+limits.AttachmentSize.String(),
			"“run.exe” was not added: it is a program, which can’t be sent. Choose one of PDF", "“nothing.txt” was not added: it is empty").
		HasHTML(`value="Typed"`, "and kept</textarea>").LacksHTML("Remove one more.pdf", "scans")
	w.see(w.Get(w.at)).Says("Remove exactly.pdf", "Remove note.txt").LacksHTML("There is a problem").HasHTML(`value="Typed"`)
	w.attach("check", text("Typed", "and kept"), file{"third.txt", []byte("x")}).Says("third.txt", "Add at least one recipient.")
	id := strings.Split(strings.Split(w.page.Body, `value="remove-file:`)[1], `"`)[0]
	w.press("remove-file:"+id, text("Typed", "and kept")).Is(http.StatusOK).Says("note.txt").LacksHTML("exactly.pdf")
}

// A message can have twenty documents.
func TestTooManyDocuments(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	w := compose(t, sender(t, s))
	files := make([]file, 21)
	for i := range files {
		files[i] = file{string(rune('a'+i)) + ".txt", []byte("x")}
	}
	w.attach("attach", text("Typed", ""), files...).Is(http.StatusUnprocessableEntity).Says("at most 20 documents", "Remove t.txt").LacksHTML("Remove u.txt")
}

// A form that arrives incompletely saves nothing.
func TestAnIncompleteFormSavesNothing(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	w := compose(t, sender(t, s))
	half := "--b\r\nContent-Disposition: form-data; name=\"subject\"\r\n\r\nHal"
	w.Send(w.at, bytes.NewReader([]byte(half)), "multipart/form-data; boundary=b").Is(http.StatusBadRequest).Says("did not arrive completely")
	if n := count(t, s, drafts); n != 0 {
		t.Errorf("%d drafts were kept", n)
	}
}
