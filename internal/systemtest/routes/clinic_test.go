package routes_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access"
	"postern/internal/access/policy"
	details "postern/internal/clinic"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/directory/audience"
	"postern/internal/directory/upload"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/inbound"
	"postern/internal/notify/replay"
	"postern/internal/process"
	"postern/internal/proof/checkpoint"
	"postern/internal/record/emergency"
	"postern/internal/telemetry"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic has one object of each kind. Olga owns those of staff, and Ada those of portal users.
type clinic struct {
	*webtest.Site
	strict  string // the address of the same clinic where a second factor is required
	objects map[string]string
	olga    access.Staff
	callers []caller
}

// A caller is a person or a program that calls routes.
type caller struct {
	name        string
	base        string // the address that it calls
	cookies     []*http.Cookie
	token       string
	realm       string   // staff or portalUsers; "" for callers who are not signed in
	permissions []string // of staff
	owner       bool
	due         bool // must set up a second factor first
}

const (
	paper   = "Ten times each, every morning.\n"
	picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=" // one pixel
)

func openClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{objects: map[string]string{}}
	var cfg process.WebConfig
	c.Site = webtest.New(t, func(used *process.WebConfig) {
		used.Public = checkpoint.PublicKey // a new clinic has no checkpoint of the hour before, and its commitment is absent
		cfg = *used
	})
	c.strict = alsoServe(t, cfg, func(cfg *process.WebConfig) { cfg.FactorRequired = true })

	c.callers = append(c.callers, caller{name: "nobody", base: c.Base})
	c.portalUser(t, "ada", true)
	c.portalUser(t, "ben", false)
	c.olga = c.staff(t, "Olga Owner", true, policy.All...)
	c.staff(t, "Paul Permitted", false, policy.All...)
	c.staff(t, "Nina None", false)
	for _, p := range policy.All {
		c.staff(t, "Only "+strings.ReplaceAll(string(p), "_", " "), false, p)
	}
	c.disabled(t)
	due := c.signIn(t, c.NewStaff(t, "Dora Due", policy.All...))
	due.name, due.base, due.due = "with a second factor due", c.strict, true
	c.callers = append(c.callers, due)
	c.furnish(t)
	return c
}

// alsoServe serves the same clinic at another address, with another setting.
func alsoServe(t *testing.T, cfg process.WebConfig, change func(*process.WebConfig)) string {
	t.Helper()
	change(&cfg)
	cfg.Telemetry = telemetry.New()
	w, err := process.WireWeb(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = inbound.NewServer(process.Routes(w.API, w.Pages), nil, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(func() { w.API.Close(); server.Close(); w.Close() })
	return server.URL
}

// portalUser adds a portal user to the callers.
func (c *clinic) portalUser(t *testing.T, id string, owner bool) {
	t.Helper()
	c.NewPortalUser(t, id)
	c.callers = append(c.callers, caller{name: "the portal user " + id, base: c.Base, realm: portalUsers, owner: owner,
		cookies: c.cookies(t, "/v1/portal/session", id+"@example.org")})
}

// staff adds a staff member to the callers, by session and by token.
func (c *clinic) staff(t *testing.T, name string, owner bool, permissions ...policy.Permission) access.Staff {
	t.Helper()
	made := c.NewStaff(t, name, permissions...)
	by := c.signIn(t, made)
	by.owner = owner
	byToken := by
	byToken.name, byToken.cookies, byToken.token = "a token of "+name, nil, c.tokenOf(t, made)
	c.callers = append(c.callers, by, byToken)
	return made
}

func (c *clinic) signIn(t *testing.T, s access.Staff) caller {
	t.Helper()
	by := caller{name: s.Name, base: c.Base, realm: staff, cookies: c.cookies(t, "/v1/session", s.Email)}
	for _, p := range s.Permissions {
		by.permissions = append(by.permissions, string(p))
	}
	return by
}

// disabled adds the session and the token of a disabled staff member to the callers.
func (c *clinic) disabled(t *testing.T) {
	t.Helper()
	dan := c.NewStaff(t, "Dan Disabled", policy.All...)
	session := caller{name: "a disabled member's session", base: c.Base, cookies: c.cookies(t, "/v1/session", dan.Email)}
	token := caller{name: "a disabled member's token", base: c.Base, token: c.tokenOf(t, dan)}
	if err := c.Web.Gate.Disable(t.Context(), "operator:test", dan.ID); err != nil {
		t.Fatal(err)
	}
	c.callers = append(c.callers, session, token)
}

// tokenOf makes a token that may do all that its owner may.
func (c *clinic) tokenOf(t *testing.T, s access.Staff) string {
	t.Helper()
	_, token, err := c.Web.Gate.CreateToken(t.Context(), "operator:test", s.ID, access.NewToken{Name: "a program"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// cookies signs in.
func (c *clinic) cookies(t *testing.T, at, email string) []*http.Cookie {
	t.Helper()
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, webtest.Password)
	res, err := http.Post(c.Base+at, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || len(res.Cookies()) == 0 {
		t.Fatalf("signing in as %s is answered with %d", email, res.StatusCode)
	}
	return res.Cookies()
}

func subject(s access.Staff) policy.Subject {
	return policy.Subject{Realm: policy.RealmStaff, ID: s.ID, Name: s.Name, Permissions: s.Permissions}
}

// furnish makes the objects.
func (c *clinic) furnish(t *testing.T) {
	t.Helper()
	c.access(t)
	c.objects["document"], c.objects["picture"] = c.upload(t, "Exercises.txt", []byte(paper)), c.upload(t, "Plan.png", decoded(t, picture))
	c.objects["pdf"] = c.upload(t, "Letter.pdf", []byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"))
	c.face(t)
	c.objects["upload"] = c.upload(t, "Not sent.txt", []byte(paper))
	now, later := 0, time.Now().Add(50*time.Hour)
	c.send(t, "sent", compose.Request{Subject: "Your care plan", Body: "Please read it.", UndoSeconds: &now, Recipients: to("ada"),
		AttachmentIDs: []uuid.UUID{c.id("document"), c.id("picture"), c.id("pdf")}})
	// Its sender has a notice of it, as if its alert had failed.
	c.Exec(t, `INSERT INTO record.notices (message_id, sender_id, bulk, ended_seq, ended_at, seq, at) VALUES ($1, $2, false, 1, now(), 1, now())`, c.id("sent"), c.olga.ID)
	for _, place := range []string{"recalled", "taken-back", "erasable"} {
		c.send(t, place, compose.Request{Subject: "Opening hours", Body: "We open at nine.", UndoSeconds: &now, Recipients: to("ada", "ben")})
	}
	c.send(t, "scheduled", compose.Request{Subject: "Season's greetings", Body: "From all of us.", SendAt: &later, Recipients: to("ada")})
	for _, place := range []string{"recalled", "taken-back"} {
		if err := c.Web.Composer.Recall(t.Context(), subject(c.olga), c.id(place), "The hours were wrong."); err != nil {
			t.Fatal(err)
		}
	}
	// None of the callers asks for the erasure: who asked may not approve.
	asked, err := c.Web.Retention.Request(t.Context(), "operator:test", c.id("erasable"), "It was meant for another person.")
	if err != nil {
		t.Fatal(err)
	}
	c.objects["erasure"] = asked.ID.String()
	// Nor does one of them ask for the permission.
	asker := c.NewStaff(t, "Abe Asker", policy.ManageStaff)
	if err := c.Web.Gate.Permit(t.Context(), subject(asker).Actor(), c.objects["staff"], policy.ReadRecord); err != nil {
		t.Fatal(err)
	}
	grants, err := c.Web.Gate.OpenGrantsOf(t.Context(), c.objects["staff"])
	if err != nil || len(grants) != 1 {
		t.Fatalf("%d permissions are requested: %v", len(grants), err)
	}
	c.objects["grant"] = grants[0].ID.String()
	for place, of := range map[string]emergency.Of{"opening": {MessageID: c.id("sent")}, "opening-to-end": {MessageID: c.id("sent")}, "opening-of-patient": {PatientID: "pt-ada"}} {
		o, err := c.Web.Emergencies.Open(t.Context(), subject(c.olga), of, "Their doctor is away.")
		if err != nil {
			t.Fatal(err)
		}
		c.objects[place] = o.ID.String()
	}
	// A review is by another person than the one who opened it, who is none of the callers.
	urs := subject(c.NewStaff(t, "Urs Urgent", policy.EmergencyAccess))
	used, err := c.Web.Emergencies.Open(t.Context(), urs, emergency.Of{MessageID: c.id("sent")}, "Their doctor is away.")
	if err == nil {
		_, err = c.Web.Emergencies.End(t.Context(), urs, used.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.objects["opening-to-review"] = used.ID.String()
	plan, err := c.Web.Replays.Plan(t.Context(), subject(c.olga).Actor(), replay.Filter{}, "Their provider was down")
	if err != nil {
		t.Fatal(err)
	}
	c.objects["replay"] = plan.ID.String()
	c.Exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('dora', 'Dora', 'dora@example.org', true)`)
	run, err := c.Web.Gate.StartInvitations(t.Context(), "operator:test", access.Invitees{IDs: []string{"dora"}})
	if err != nil {
		t.Fatal(err)
	}
	c.objects["invitations"] = run.String()
	c.draft(t)
	c.factors(t)
	c.park(t)
	c.uploadImport(t)
	c.export(t)
	c.Settle(t)
}

// access makes the sessions and the tokens that are ended and revoked.
func (c *clinic) access(t *testing.T) {
	t.Helper()
	tess := c.NewStaff(t, "Tess Target", policy.SendPortalMessage)
	c.objects["staff"] = tess.ID
	c.cookies(t, "/v1/session", tess.Email)
	c.NewPortalUser(t, "cleo")
	c.System.PortalUser(t, "nora") // without an e-mail address
	c.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'nora'`)
	c.cookies(t, "/v1/portal/session", "cleo@example.org")
	for object, owner := range map[string]access.Staff{"token": c.olga, "staff-token": tess} {
		made, _, err := c.Web.Gate.CreateToken(t.Context(), "operator:test", owner.ID, access.NewToken{Name: "an old program"})
		if err != nil {
			t.Fatal(err)
		}
		c.objects[object] = made.ID.String()
	}
	for _, by := range []string{"", "-of-api"} {
		c.objects["session"+by] = c.session(t, "/v1/session", c.olga.Email)
		c.objects["adas-session"+by] = c.session(t, "/v1/portal/session", "ada@example.org")
	}
}

// factors gives Olga and Ada a second factor each, after everyone has signed in.
func (c *clinic) factors(t *testing.T) {
	t.Helper()
	for object, owner := range map[string]policy.Subject{"factor": subject(c.olga), "adas-factor": {Realm: policy.RealmPortalUser, ID: "ada"}} {
		id := uuid.New()
		c.Record(t, owner.Actor(), events.SecondFactor{What: events.FactorAdded, Change: id, Account: string(owner.Realm), ID: owner.ID, Kind: events.FactorApp})
		c.objects[object] = id.String()
	}
}

// session signs in as on another device, and returns the id of the session.
func (c *clinic) session(t *testing.T, at, email string) string {
	t.Helper()
	got := caller{name: email, base: c.Base, cookies: c.cookies(t, at, email)}.call(t, http.MethodGet, at+"s", "")
	var list struct {
		Items []struct {
			ID   string
			This bool
		}
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		t.Fatalf("the sessions of %s: %d %v", email, got.status, err)
	}
	for _, s := range list.Items {
		if s.This {
			return s.ID
		}
	}
	t.Fatalf("the sessions of %s lack the one that asks: %s", email, got.body)
	return ""
}

// sessions returns whose session each is and when it ended. [webtest.Site.Keeps] has none. A refused
// request is authenticated first, which counts as a use of the session: so when it was last used and
// when it expires are left out. For the same reason Keeps has no last use of tokens.
func (c *clinic) sessions(t *testing.T) []string {
	t.Helper()
	rows, err := c.Admin.Query(t.Context(), `SELECT concat_ws(' ', id, realm, subject, method, ended_at) FROM app.sessions WHERE id IS NOT NULL ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func to(ids ...string) audience.Selection { return audience.Selection{PortalUserIDs: ids} }

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (c *clinic) id(object string) uuid.UUID { return uuid.MustParse(c.objects[object]) }

func (c *clinic) upload(t *testing.T, name string, data []byte) string {
	t.Helper()
	up, err := c.Web.Composer.Upload(t.Context(), subject(c.olga), name, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return up.ID.String()
}

// send sends a message from Olga, and waits until its alerts are settled, unless it is scheduled.
func (c *clinic) send(t *testing.T, object string, request compose.Request) {
	t.Helper()
	sent, err := c.Web.Composer.Send(t.Context(), subject(c.olga), uuid.NewString(), request)
	if err != nil {
		t.Fatal(err)
	}
	c.objects[object] = sent.ID.String()
	if request.SendAt != nil {
		c.Await(t, sent.Seq)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	for {
		changed := c.Position.Changed()
		m, err := c.Web.Messages.Message(ctx, c.olga.ID, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Progress; p.Recipients > 0 && p.Alerted+p.AlertFailed+p.AlertSkipped >= p.Recipients {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the message %s was not delivered", object)
		}
	}
}

func (c *clinic) draft(t *testing.T) {
	t.Helper()
	id := uuid.New()
	_, err := c.Web.Drafts.Save(t.Context(), subject(c.olga), id, draft.Seen{Page: "a"}, func(d *draft.Content) {
		d.Subject, d.Body, d.Recipients = "Flu vaccination", "Come without an appointment.", to("ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	c.objects["draft"] = id.String()
}

// face gives the clinic details with a logo, and a wording of Olga's own.
func (c *clinic) face(t *testing.T) {
	t.Helper()
	logo, err := details.ReadLogo([]byte(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Web.Clinic.Change(t.Context(), "operator:test", 0, details.Details{Name: "Lakeside", Colour: "#0a5c66", Logo: &logo}); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"wording", "wording-of-the-api"} {
		w, err := c.Web.Wordings.Add(t.Context(), subject(c.olga), wording.Text{Name: place, Body: "Please rest."}, false)
		if err != nil {
			t.Fatal(err)
		}
		c.objects[place] = w.ID.String()
	}
}

// park parks an event as if a worker had failed to handle it.
func (c *clinic) park(t *testing.T) {
	t.Helper()
	id := uuid.New()
	c.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason, stack)
		SELECT $1, 'fanout-direct', seq, id, type, message_id, 8, 'panic: assignment to entry in nil map', 'goroutine 1 [running]:'
		FROM record.events WHERE type = 'message.sent' ORDER BY seq LIMIT 1`, id)
	c.objects["parked"] = id.String()
}

// uploadImport uploads a file to import, and waits until it has been checked.
func (c *clinic) uploadImport(t *testing.T) {
	t.Helper()
	files := []string{"patient_id,given_name,family_name,birth_date,status,deceased\nnew-1,Nora,Newcomb,1980-02-01,active,false\n"}
	id, err := c.Web.Uploads.Receive(t.Context(), subject(c.olga), func() (string, io.Reader, error) {
		if len(files) == 0 {
			return "", nil, io.EOF
		}
		file := files[0]
		files = nil
		return "patients.csv", strings.NewReader(file), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.objects["import"] = id.String()
	again := time.NewTicker(10 * time.Millisecond) // no one is notified when the check ends
	defer again.Stop()
	for deadline := time.After(giveup.After); ; {
		found, err := c.Web.Uploads.Get(t.Context(), subject(c.olga), id)
		if err != nil {
			t.Fatal(err)
		}
		if found.State != upload.Receiving && found.State != upload.Checking {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("the import is %s for a minute", found.State)
		}
	}
}

// export exports the record as Olga, so that there is the manifest of an export.
func (c *clinic) export(t *testing.T) {
	t.Helper()
	for _, by := range c.callers {
		if by.realm == staff && by.owner {
			res := by.call(t, http.MethodGet, "/v1/record.csv", "")
			found := regexp.MustCompile(`/v1/record/exports/([0-9a-f-]+)`).FindStringSubmatch(res.header.Get("Link"))
			if found == nil {
				t.Fatalf("the export has no link to its manifest: %d %v", res.status, res.header)
			}
			c.objects["export"] = found[1]
			return
		}
	}
}
