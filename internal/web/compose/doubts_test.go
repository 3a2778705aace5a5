package compose_test

import (
	"net/http"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// Of two people of one name the sender sees the dates of birth, and is told that there are two; of a
// child with a parent's e-mail address, that the parent is told of the message.
func TestErrandSendToTheRightPerson(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for _, id := range []string{"tim", "tim-2", "mother"} {
		s.NewPortalUser(t, id)
	}
	s.Exec(t, `UPDATE app.portal_users SET name = 'Tim Berg' WHERE portal_user_id IN ('tim', 'tim-2')`)
	s.Exec(t, `UPDATE app.portal_users SET email = 'mother@example.org' WHERE portal_user_id = 'tim'`)
	s.Exec(t, `UPDATE app.patients SET birth_date = now() - interval '10 years' WHERE patient_id = 'pt-tim'`)
	s.Exec(t, `UPDATE app.patients SET birth_date = '1950-05-03' WHERE patient_id = 'pt-tim-2'`)
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT u.portal_user_no, p.patient_no, 'representative'
		FROM app.portal_users u, app.patients p WHERE portal_user_id = 'mother' AND patient_id = 'pt-tim'`)
	s.Exec(t, `UPDATE app.portal_users SET words_version = 0`)
	s.FoldNames(t)

	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Sam Staff", policy.SendPortalMessage))
	e.Click("Compose")
	e.Click("Patient Portal Message")
	e.Click("Add Recipient(s)")
	e.Type("Add User", "tim berg")
	e.Sees("born 3 May 1950", "Another portal user has the same name", "A minor with the e-mail address of Name of mother")
	e.Screenshot("add-user-namesakes")
	e.Click("#add-user-tim")
	e.Type("Subject", "Your visit")
	e.Type("#message", "Text")
	e.Click("Check before you send")
	e.Sees("Are these the right people?", "Another portal user has the same name", "Is the message for the patient alone?")
	e.Accessible()
	e.Screenshot("check-doubts")
	e.Click("Send message")
	e.Sees("Your visit")
	e.Done()
}

// Without a doubt the check asks nothing.
func TestNoDoubtNoQuestion(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	w := compose(t, s.Staff(t, "Sam Staff", policy.SendPortalMessage))
	w.press("add-user:ann", text("Hello", "text")).Is(http.StatusOK)
	w.press("check", text("Hello", "text")).Is(http.StatusOK).Says("Check before you send").LacksHTML("right people")
}
