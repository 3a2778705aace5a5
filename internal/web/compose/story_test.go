package compose_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/web/webtest"
)

// atCompose is a browser of a staff member who has signed in and starts a message.
func atCompose(t *testing.T, s *webtest.Site, permissions ...policy.Permission) *webtest.Browser {
	t.Helper()
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Rita Reception", append(permissions, policy.SendPortalMessage)...))
	b.Open("/messages/compose")
	return b
}

// people creates portal users as recipients.
func people(t *testing.T, s *webtest.Site) {
	t.Helper()
	for _, id := range []string{"ann", "ben", "cy"} {
		s.NewPortalUser(t, id)
	}
	s.Exec(t, `UPDATE app.portal_users SET name = initcap(portal_user_id) || ' Adams'`)
	s.Exec(t, `UPDATE app.patients SET given_name = initcap(replace(patient_id, 'pt-', '')), family_name = 'Adams'`)
	s.FoldNames(t)
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT u.portal_user_no, p.patient_no, 'representative' FROM app.portal_users u, app.patients p
		WHERE portal_user_id = 'ben' AND patient_id = 'pt-ann'`)
}

// Rita has no mouse. With the keyboard she finds Ben, writes to him, checks the message
// and sends it. She sees Undo.
func TestStoryComposeAndSendWithTheKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	b := atCompose(t, s)
	b.TabTo("Add Recipient(s)")
	b.Press("Enter")
	b.TabTo("Add User")
	b.Type("Add User", "ben")
	b.Sees("Ben Adams", "Authorized Representative of Ann Adams")
	b.TabTo("#add-user-ben")
	b.Press("Enter")
	b.Sees("Added")
	b.Focuses("#find-user")
	b.Type("Add User", "cy")
	b.TabTo("#add-user-cy")
	b.Press("Enter")
	b.Count(".app-chip", 2)
	b.TabTo("Subject")
	b.Type("Subject", "Aftercare")
	b.TabTo("Message")
	b.Type("Message", "Please rest for two days.")
	b.Sees("Saved at")

	// The focused chip is removed.
	b.Press("Shift+Tab", "Shift+Tab")
	for !strings.Contains(b.Focused(), "Remove Cy") {
		b.Press("Shift+Tab")
	}
	b.Press("Delete")
	b.Count(".app-chip", 1)
	b.Focuses("#remove-user-ben")

	// Ben is a patient and represents Ann: the message is about Ann.
	b.TabTo("#about-ben-pt-ann")
	b.Press("Space")

	b.TabTo("Check before you send")
	b.Press("Enter")
	b.Sees("1 portal user", "Please rest for two days.")
	b.TabTo("Send message")
	b.Press("Enter")
	b.Sees("goes out in", "Undo")
	if got := count(t, s, sends); got != 1 {
		t.Errorf("%d messages were sent", got)
	}
}

// Three files are dropped, and one is too large: the page names it before it is uploaded,
// and attaches the others.
func TestStoryDropFiles(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := atCompose(t, s)
	b.Drop("[data-drop]", webtest.File{Name: "report.pdf", Data: pdf(300_000)}, webtest.File{Name: "x-ray.pdf", Data: pdf(int(limits.AttachmentSize) + 1)},
		webtest.File{Name: "care.txt", Data: []byte("Rest.")})
	b.Sees("“x-ray.pdf” was not added: it is larger than "+limits.AttachmentSize.String(), "report.pdf", "293 kB", "care.txt", "5 bytes")
	b.Accessible()
	b.Click("Dismiss x-ray.pdf")
	b.SeesNot("x-ray.pdf")
	b.Upload("Add New Attachment", webtest.File{Name: "tool.exe", Data: []byte("MZ")}, webtest.File{Name: "empty.txt"})
	b.Sees("“tool.exe” was not added: files of that type", "“empty.txt” was not added: it is empty")

	// Errors that only the server can find are shown, too.
	b.Upload("Add New Attachment", webtest.File{Name: "no.pdf", Data: []byte("MZ\x90\x00\x03\x00\x00\x00 this is no PDF")})
	b.Sees("“no.pdf” was not added: it is a program, which can’t be sent")
	b.Screenshot("compose-documents")
	b.Reload()
	b.Sees("report.pdf", "care.txt")
	b.Click("Remove report.pdf")
	b.Count(".app-file", 1)
}

// Typed text is there after a reload, without a press of a button.
func TestStoryADraftSurvivesAReload(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	b := atCompose(t, s)
	b.Type("Subject", "Half a tho")
	b.Type("Message", "Dear Ben,\n\nas we said")
	b.Sees("Saved at")
	if !strings.HasPrefix(b.Path(), "/messages/drafts/") {
		t.Errorf("the address is %s, where a reload would lose the draft", b.Path())
	}
	b.Reload()
	b.Reads("Subject", "Half a tho")
	b.Reads("Message", "Dear Ben,\n\nas we said")
	b.Open("/messages/drafts")
	b.Sees("Half a tho", "No recipients yet")
}

// The warning before the session ends saves the text typed just before.
func TestStoryTheSessionWarningKeepsTheDraft(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := atCompose(t, s)
	b.Type("Subject", "Just typed")
	saved := webtest.Evaluate[bool](b, `(async () => {
		const all = []
		document.dispatchEvent(new CustomEvent('postern:saving', { detail: { waitFor: (one) => all.push(one) } }))
		return (await Promise.all(all)).length > 0
	})()`)
	if !saved || count(t, s, drafts) != 1 {
		t.Errorf("waited: %v; there are %d drafts", saved, count(t, s, drafts))
	}
}

// Two tabs: the one with the outdated version says so, and asks what to do.
func TestStoryTwoTabs(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := atCompose(t, s)
	b.Type("Subject", "First")
	b.Sees("Saved at")
	s.Exec(t, `UPDATE app.drafts SET version = version + 1, page = 'another tab'`)
	b.Type("Subject", "Second")
	b.Sees("This draft was changed in another tab or window", "Save what I typed here instead")
	b.Accessible()
	b.Screenshot("compose-conflict")
	b.Click("Save what I typed here instead")
	b.Sees("Saved at")
	b.Reload()
	b.Reads("Subject", "Second")
}

// Without a connection the page says so, and saves when the connection is back.
func TestStoryWithoutAConnection(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := atCompose(t, s)
	webtest.Evaluate[bool](b, `(() => { window.away = window.fetch; window.fetch = () => Promise.reject(new TypeError('away')); return true })()`)
	b.Type("Subject", "On the train")
	b.Sees("Not saved: there is no connection. What you typed is still here")
	b.Accessible()
	webtest.Evaluate[bool](b, `(() => { window.fetch = window.away; window.dispatchEvent(new Event('online')); return true })()`)
	b.Sees("Saved at")
}

// A message to a group: counted on the page, confirmed by its number, and scheduled in the
// clinic's time zone.
func TestStoryScheduleForAGroup(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	b := atCompose(t, s, policy.SendBulkPortalMessage)
	b.Click("Add Recipient(s)")
	b.Sees("Portal Users - Active Patients", "Portal Users - Discharged Patients", "All Portal Users", "3 portal users now", "0 portal users now")
	b.Click("Add Portal Users - Active Patients")
	b.Count(".app-chip", 1)
	b.Sees("3 portal users now")
	b.Type("Subject", "We are closed on Friday")
	b.Type("Message", "See https://clinic.example/hours for when we are open.")
	b.Click("Send at a date and time")
	at := time.Now().AddDate(0, 0, 2)
	b.Type("Day", at.Format("2"))
	b.Type("Month", at.Format("1"))
	b.Type("Year", at.Format("2006"))
	b.Type("Time", "9:30 am")
	b.Sees("In the clinic’s time zone")
	b.Click("Check before you send")
	b.Sees("3 portal users", "Linked to an active patient", at.Format("2 January 2006")+", 9:30 am")
	b.Type("How many recipients will get this message?", "4")
	b.Click("Schedule message")
	b.Sees("There is a problem", "Type the number of recipients")
	b.AccessibleInAllViews()
	b.Type("How many recipients will get this message?", "3")
	b.Click("Schedule message")
	b.Sees("The message goes out " + at.Format("2 January 2006") + ", 9:30 am CE")
}

// Two people are added one after the other. The answer for the first arrives while the
// second button is held down. Both are added.
func TestStoryTwoQuickClicksBothCount(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	b := atCompose(t, s, policy.SendPortalMessage)
	b.Click("Add Recipient(s)")
	b.Type("Add User", "adams")
	b.Sees("Ann Adams", "Ben Adams")
	// Answers are held back until answer() is called. It returns after the answer was shown,
	// or would have been.
	webtest.Evaluate[bool](b, `(() => {
		const fetched = window.fetch
		const asked = Promise.withResolvers()
		const shown = Promise.withResolvers()
		window.answer = () => { asked.resolve(); return shown.promise }
		window.fetch = async (...request) => {
			const response = await fetched(...request)
			await asked.promise
			const text = response.text.bind(response)
			response.text = async () => { const all = await text(); setTimeout(() => shown.resolve(true)); return all }
			return response
		}
		return true
	})()`)
	b.Click("Add Ann Adams")
	release := b.Hold("Add Ben Adams")
	webtest.Evaluate[bool](b, `window.answer()`)
	release()
	b.Sees("Remove Ann Adams", "Remove Ben Adams")
}

// Every state of the pages is accessible: wide, narrow and dark.
func TestStoryPagesAreAccessible(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	b := atCompose(t, s, policy.SendBulkPortalMessage)
	b.AccessibleInAllViews() // empty
	b.Open("/messages/drafts")
	b.Sees("No drafts. Compose a message.")
	b.AccessibleInAllViews()

	b.Open("/messages/compose")
	b.Click("Check before you send")
	b.Sees("There is a problem", "Add at least one recipient.", "Enter a subject.", "Enter a message.")
	b.AccessibleInAllViews() // error
	b.Screenshot("compose-errors")

	b.Type("Subject", "Your appointment on Thursday")
	b.Type("Message", "Dear all,\n\nplease come ten minutes early and bring the consent form that is attached.\n\nHow to find us: https://clinic.example/way\n\nYour clinic")
	b.Type("Add User", "adams")
	b.Sees("Ann Adams", "Ben Adams", "Cy Adams")
	b.Click("Add Ann Adams")
	b.Sees("Remove Ann Adams")
	b.Click("Add Ben Adams")
	b.Sees("Remove Ben Adams")
	b.Click("Add All Portal Users")
	b.Sees("Remove All Portal Users")
	b.Type("Search staff", "rita")
	b.Click("#staff-bcc .app-findings__add")
	b.Click("Send at a date and time")
	b.Upload("Add New Attachment", webtest.File{Name: "consent form.pdf", Data: pdf(120_000)}, webtest.File{Name: strings.Repeat("a very long name ", 8) + ".txt", Data: []byte("text")},
		webtest.File{Name: "huge.pdf", Data: pdf(int(limits.AttachmentSize) + 1)})
	b.Sees("consent form.pdf", "a very long name", "“huge.pdf” was not added")
	b.AccessibleInAllViews() // full
	b.Screenshot("compose")
	b.Narrow()
	b.Screenshot("compose-narrow")
	b.Dark()
	b.Screenshot("compose-dark")
	b.Light()
	b.Wide()

	b.Click("Dismiss huge.pdf")
	b.Click("#about-ben-pt-ben")
	b.Click("Send now")
	b.Click("Check before you send")
	b.Sees("3 portal users", "All Portal Users and 2 portal users")
	b.AccessibleInAllViews()
	b.Screenshot("check")
	b.Phone()
	b.Screenshot("check-phone")
	b.Dark()
	b.Screenshot("check-dark")
	b.Light()
	b.Wide()
	b.Click("Change the message")
	b.Open("/messages/drafts")
	b.Sees("Your appointment on Thursday")
	b.AccessibleInAllViews()
	b.Screenshot("drafts")
	b.Click("Delete the draft “Your appointment on Thursday”")
	b.Sees("Delete this draft?")
	b.AccessibleInAllViews()
	b.Click("Keep it and go back")
	recipients := strings.TrimSuffix(b.Path(), "/") + "/recipients"
	b.Open(recipients)
	b.Sees("Recipients", "Chosen by name", "Has an account")
	b.AccessibleInAllViews()
	b.Open("/messages/drafts/" + fmt.Sprintf("%032x", 7))
	b.Sees("There is no such draft")
	b.Accessible()
}

// Rita adds Ben, and searches for Noel before the answer arrives. No typed letter is lost,
// and the results are those of her last input.
func TestStoryTypingDuringARequest(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	s.NewStaff(t, "Noel Novice")
	b := atCompose(t, s)
	b.Click("Add Recipient(s)")
	b.Type("Add User", "ben")
	b.Sees("Ben Adams")
	hold := func() {
		webtest.Evaluate[bool](b, `(() => { const fetch = window.fetch
			const until = new Promise((resolve) => { window.letGo = () => { window.fetch = fetch; resolve() } })
			window.fetch = (...asked) => until.then(() => fetch(...asked)); return true })()`)
	}
	letGo := func() { webtest.Evaluate[bool](b, `(() => { window.letGo(); return true })()`) }

	hold()
	b.Click("#add-user-ben")
	b.Type("Search staff", "No")
	letGo()
	b.Sees("Added Ben Adams")
	b.Press("e", "l")
	b.Reads("Search staff", "Noel")
	b.Focuses("Search staff")
	b.Sees("Noel Novice")

	b.Type("Add User", "cy")
	b.Sees("Cy Adams")
	hold()
	b.Click("#add-user-cy")
	b.Type("Add User", "ann")
	b.Sees("Ann Adams")
	letGo()
	b.Sees("Added Cy Adams")
	b.Press("i")
	b.Reads("Add User", "anni")
	b.Sees("No one matches that search")
}
