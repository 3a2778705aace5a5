package web_test

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/oidc"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/directory/audience"
	"postern/internal/directory/demo"
	"postern/internal/directory/imports"
	"postern/internal/directory/upload"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/notify/replay"
	"postern/internal/notify/unsubscribe"
	"postern/internal/record/emergency"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic is the demo clinic with enough data that every page has something to show.
type clinic struct {
	*webtest.Site
	maria access.Staff // has all permissions, and data from much work
	noel  access.Staff // has all permissions, and has done nothing
	rae   access.Staff // may send to individual portal users
	// places are the values of the braces in the address of a visit: {sent}.
	places map[string]string
}

// reader is the portal user who opens the portal: a patient who represents two children.
const reader = "ingrid-berg"

const careText = `Dear all,

From Monday the entrance in Mill Street is closed. Please come in by the garden door: it is the green one, beside the pharmacy, and it has a ramp.

Appointments stay as they are. If you can't come, call us at the number in your letter, or write to us here.

With kind regards
Maria Santos`

func openClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{Site: webtest.New(t), places: map[string]string{}}
	if err := demo.Import(t.Context(), c.Admin, imports.Options{DemoEmailDomain: "example.org"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Web.Gate.SetPortalPassword(t.Context(), "operator:test", reader, webtest.Password); err != nil {
		t.Fatal(err)
	}
	c.maria = c.NewStaff(t, "Maria Santos", policy.All...)
	c.noel = c.NewStaff(t, "Noel Novice", policy.All...)
	c.rae = c.NewStaff(t, "Rae Reception", policy.SendPortalMessage)
	for _, email := range []string{c.maria.Email, c.noel.Email} { // for the pages about a link to the organisation
		if _, err := c.Web.Gate.SignInByOrganisation(t.Context(), oidc.Identity{Issuer: "https://login.clinic.example", Subject: email, Email: email}); err != nil {
			t.Fatal(err)
		}
	}
	c.places["staff"] = c.noel.ID
	c.places["stop"] = c.stop(t)
	c.invite(t)
	c.live(t)
	return c
}

// live runs the workers that send the clinic's messages.
func (c *clinic) live(t *testing.T) {
	t.Helper()
	plan := webtest.File{Name: "Care plan.pdf", Data: []byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n")}
	tips := webtest.File{Name: "Exercises at home.txt", Data: []byte("Ten times each, every morning.\n")}
	now := 0
	soon := time.Now().Add(50 * time.Hour)

	c.send(t, "erased", compose.Request{Subject: "Your results", Body: "They are good.", UndoSeconds: &now,
		Recipients: audience.Selection{PortalUserIDs: []string{reader}}})
	c.erase(t)
	c.send(t, "recalled", compose.Request{Subject: "Opening hours in December", Body: "We open at nine.", UndoSeconds: &now,
		Recipients: audience.Selection{PortalUserIDs: []string{reader, "agnes-pell", "carmen-diallo"}}})
	c.send(t, "everybody", compose.Request{Subject: "Our entrance moves to the garden side", Body: careText, UndoSeconds: &now,
		Recipients: audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}, StaffBcc: []string{c.maria.ID, c.noel.ID}})
	c.send(t, "sent", compose.Request{Subject: "Your care plan for the winter", Body: strings.Replace(careText, "Dear all", "Dear Ingrid", 1), UndoSeconds: &now,
		Recipients: audience.Selection{PortalUserIDs: []string{reader, "harold-finch"}}}, plan, tips)
	c.send(t, "scheduled", compose.Request{Subject: "Season's greetings", Body: "From all of us.", SendAt: &soon,
		Recipients: audience.Selection{Groups: []audience.Group{audience.ActivePatients}}})
	if err := c.Web.Composer.Recall(t.Context(), subject(c.maria), c.id("recalled"), "The hours were those of last year."); err != nil {
		t.Fatal(err)
	}
	asked, err := c.Web.Retention.Request(t.Context(), subject(c.noel).Actor(), c.id("recalled"), "The hours were those of last year.")
	if err != nil {
		t.Fatal(err)
	}
	c.places["erasure"] = asked.ID.String()
	if err := c.Web.Gate.Enrol(t.Context(), subject(c.noel)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []policy.Permission{policy.ReadRecord, policy.EraseMessageContent} {
		if err := c.Web.Gate.Permit(t.Context(), subject(c.maria).Actor(), c.rae.ID, p); err != nil {
			t.Fatal(err)
		}
	}
	waiting, err := c.Web.Gate.OpenGrants(t.Context())
	if err == nil {
		_, err = c.Web.Gate.WithdrawGrant(t.Context(), subject(c.noel).Actor(), waiting[0].ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.emergencies(t)
	c.tokens(t)
	c.draft(t, tips)
	c.upToImport(t)
	c.park(t)
	c.replay(t)
	c.Settle(t)
}

// emergencies makes Maria open emergency access. Noel ends one of them, and reviews another.
func (c *clinic) emergencies(t *testing.T) {
	t.Helper()
	maria, noel := subject(c.maria), subject(c.noel)
	for place, of := range map[string]emergency.Of{"opening": {MessageID: c.id("sent")}, "opening-of-erased": {MessageID: c.id("erased")},
		"opening-of-patient": {PatientID: "amina-diallo"}, "opening-ended": {MessageID: c.id("sent")}, "opening-reviewed": {MessageID: c.id("sent")}} {
		o, err := c.Web.Emergencies.Open(t.Context(), maria, of, "Their doctor is away, and they are in hospital.")
		if err == nil && (place == "opening-ended" || place == "opening-reviewed") {
			_, err = c.Web.Emergencies.End(t.Context(), noel, o.ID)
		}
		if err == nil && place == "opening-reviewed" {
			_, err = c.Web.Emergencies.Review(t.Context(), noel, o.ID, "There was an emergency.")
		}
		if err != nil {
			t.Fatal(err)
		}
		c.places[place] = o.ID.String()
	}
}

// tokens makes API tokens of Noel's: one works, and one was revoked.
func (c *clinic) tokens(t *testing.T) {
	t.Helper()
	make := func(name string, permissions ...policy.Permission) access.Token {
		made, _, err := c.Web.Gate.CreateToken(t.Context(), subject(c.noel).Actor(), c.noel.ID, access.NewToken{Name: name, Permissions: permissions})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	make("Nightly export of the record", policy.ReadRecord)
	if err := c.Web.Gate.RevokeToken(t.Context(), subject(c.noel).Actor(), c.noel.ID, make("A test").ID, events.RevokedByOwner); err != nil {
		t.Fatal(err)
	}
}

// replay plans a replay.
func (c *clinic) replay(t *testing.T) {
	t.Helper()
	plan, err := c.Web.Replays.Plan(t.Context(), subject(c.maria).Actor(), replay.Filter{}, "Their provider was down")
	if err != nil {
		t.Fatal(err)
	}
	c.places["replay"] = plan.ID.String()
}

func subject(s access.Staff) policy.Subject {
	return policy.Subject{Realm: policy.RealmStaff, ID: s.ID, Name: s.Name, Permissions: s.Permissions}
}

func (c *clinic) id(place string) uuid.UUID { return uuid.MustParse(c.places[place]) }

// send sends a message from Maria, and waits until it is delivered, unless it is scheduled.
func (c *clinic) send(t *testing.T, place string, request compose.Request, files ...webtest.File) {
	t.Helper()
	request.AttachmentIDs = c.upload(t, place, files...)
	sent, err := c.Web.Composer.Send(t.Context(), subject(c.maria), uuid.NewString(), request)
	if err != nil {
		t.Fatal(err)
	}
	c.places[place] = sent.ID.String()
	if request.SendAt != nil {
		c.Await(t, sent.Seq)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	for {
		changed := c.Position.Changed()
		m, err := c.Web.Messages.Message(ctx, c.maria.ID, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Progress; p.Recipients > 0 && p.Alerted+p.AlertFailed+p.AlertSkipped >= p.Recipients {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s was never delivered", place)
		}
	}
}

func (c *clinic) upload(t *testing.T, place string, files ...webtest.File) (ids []uuid.UUID) {
	t.Helper()
	for _, f := range files {
		up, err := c.Web.Composer.Upload(t.Context(), subject(c.maria), f.Name, bytes.NewReader(f.Data))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, up.ID)
		c.places[place+"-document"] = up.ID.String()
	}
	return ids
}

// erase makes Maria request, and Noel approve, the erasure of a message's content.
func (c *clinic) erase(t *testing.T) {
	t.Helper()
	asked, err := c.Web.Retention.Request(t.Context(), subject(c.maria).Actor(), c.id("erased"), "It was meant for another person.")
	if err == nil {
		_, err = c.Web.Retention.Approve(t.Context(), subject(c.noel), asked.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.places["erasure-done"] = asked.ID.String()
}

// draft saves a message that Maria has not sent yet.
func (c *clinic) draft(t *testing.T, files ...webtest.File) {
	t.Helper()
	id := uuid.New()
	_, err := c.Web.Drafts.Save(t.Context(), subject(c.maria), id, draft.Seen{Page: "a"}, func(d *draft.Content) {
		d.Subject, d.Body = "Flu vaccination: come without an appointment", strings.Replace(careText, "entrance in Mill Street is closed", "flu vaccination is here", 1)
		d.Recipients = audience.Selection{PortalUserIDs: []string{reader, "agnes-pell"}, Groups: []audience.Group{audience.ActivePatients}}
		d.StaffBcc = []string{c.noel.ID}
		d.AttachmentIDs = c.upload(t, "draft", files...)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.places["draft"] = id.String()
}

// park parks an event as if a worker had failed to process it.
func (c *clinic) park(t *testing.T) {
	t.Helper()
	id := uuid.New()
	c.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason, stack)
		SELECT $1, 'fanout-direct', seq, id, type, message_id, 8, 'panic: assignment to entry in nil map', 'goroutine 1 [running]:'
		FROM record.events WHERE type = 'message.sent' ORDER BY seq LIMIT 1`, id)
	c.Exec(t, `INSERT INTO app.consumer_errors (consumer, seq, reason) VALUES ('fanout-direct', 9, 'panic: assignment to entry in nil map')`)
	c.places["parked"] = id.String()
}

// upToImport uploads files that would change the directory, and waits for the dry run.
func (c *clinic) upToImport(t *testing.T) {
	t.Helper()
	file := "patient_id,given_name,family_name,birth_date,status,deceased\nnew-1,Nora,Newcomb,1980-02-01,active,false\n" +
		"amina-diallo,Amina,Diallo,2016-05-02,discharged,false\n"
	files := []string{file}
	id, err := c.Web.Uploads.Receive(t.Context(), subject(c.maria), func() (string, io.Reader, error) {
		if len(files) == 0 {
			return "", nil, io.EOF
		}
		files = nil
		return "patients.csv", strings.NewReader(file), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.places["import"] = id.String()
	for began := time.Now(); ; {
		found, err := c.Web.Uploads.Get(t.Context(), subject(c.maria), id)
		if err != nil {
			t.Fatal(err)
		}
		if found.State != upload.Receiving && found.State != upload.Checking {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the import is %s for a minute", found.State)
		}
	}
}

// at fills in the braces of an address.
func (c *clinic) at(t *testing.T, path string) string {
	t.Helper()
	for name, place := range c.places {
		path = strings.ReplaceAll(path, "{"+name+"}", place)
	}
	if strings.ContainsAny(path, "{}") {
		t.Fatalf("%s names an unknown place", path)
	}
	return path
}

// invite makes a run of invitations that is finished, and one that runs.
func (c *clinic) invite(t *testing.T) {
	t.Helper()
	for place, who := range map[string]access.Invitees{"invited": {IDs: []string{"victor-closed", "amina-diallo"}}, "invitations": {Everyone: true}} {
		run, err := c.Web.Gate.StartInvitations(t.Context(), "operator:test", who)
		if err != nil {
			t.Fatal(err)
		}
		c.places[place] = run.String()
		if place == "invited" {
			c.Exec(t, `UPDATE app.invitations SET state = 'skipped', reason = 'inactive' WHERE run_id = $1 AND portal_user_no = (SELECT max(portal_user_no) FROM app.invitations WHERE run_id = $1)`, run)
			c.Exec(t, `UPDATE app.invitations SET state = 'unknown' WHERE run_id = $1 AND state = 'waiting'`, run)
			if err := c.Web.Gate.CancelInvitations(t.Context(), "operator:test", run); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// stop is the link with which the reader opts out of alerts.
func (c *clinic) stop(t *testing.T) string {
	t.Helper()
	key, err := unsubscribe.LoadKey(t.Context(), c.Pool)
	if err != nil {
		t.Fatal(err)
	}
	var no int32
	if err := c.Pool.QueryRow(t.Context(), `SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1`, reader).Scan(&no); err != nil {
		t.Fatal(err)
	}
	return unsubscribe.Path + string(key.Append(nil, no, reader+"@example.org"))
}

// visitor is a visitor without scripts.
func (c *clinic) visitor(t *testing.T, who string) *webtest.Visitor {
	t.Helper()
	v := c.SignedOut(t)
	signIn := func(at, email string) {
		v.Post(at, url.Values{"email": {email}, "password": {webtest.Password}, "next": {"/static/icon.svg"}})
	}
	switch who {
	case "maria":
		signIn("/sign-in", c.maria.Email)
	case "noel":
		signIn("/sign-in", c.noel.Email)
	case "rae":
		signIn("/sign-in", c.rae.Email)
	case "reader":
		signIn("/portal/sign-in", reader+"@example.org")
	}
	return v
}

// browser is the same visitor in a real browser.
func (c *clinic) browser(t *testing.T, who string) *webtest.Browser {
	t.Helper()
	b := webtest.OpenBrowser(t, c.Site)
	switch who {
	case "maria":
		b.SignIn(c.maria)
	case "noel":
		b.SignIn(c.noel)
	case "rae":
		b.SignIn(c.rae)
	case "reader":
		b.SignInPortal(reader)
	}
	return b
}
