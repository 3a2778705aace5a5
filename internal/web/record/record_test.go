package record_test

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/recorder/rebuild"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic is a site in which Wendy has sent Pat a message; Pat has opened it and saved its
// document.
type clinic struct {
	*webtest.Site
	reader  *webtest.Visitor // has only the permission to read the record
	sender  *webtest.Visitor // Wendy
	wendy   policy.Subject
	pat     *webtest.Visitor
	message string
	plan    uuid.UUID
}

// A person who opens pages that are refused, again and again, is on the record, by name. So is where
// failed sign-ins come from.
func TestRefusalsAreShown(t *testing.T) {
	s := webtest.New(t)
	nosy, reader := s.Staff(t, "Nosy Parker", policy.SendPortalMessage), s.Staff(t, "Rita Reader", policy.ReadRecord)
	for range 25 { // more than ten in the same minute, whenever it begins
		nosy.Get("/record").Is(http.StatusForbidden)
	}
	s.Clock.Advance(time.Minute)
	if err := s.Web.Gate.PublishCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Record(t, "process:api",
		events.SignIn{Failed: true, Attempt: uuid.New(), Account: "staff", Method: events.ByPassword, Reason: "no_account", Source: "192.0.2.0/24"},
		events.SignInsFailed{Tally: uuid.New(), Account: "staff", Source: "192.0.2.0/24", Minute: time.Now(), Count: 7, ByReason: map[string]int{"no_account": 7}})
	s.Settle(t)
	for kind, says := range map[string]string{
		"actions.refused": "Nosy Parker was refused",
		"sign_in.failed":  "refused a sign-in as an unknown staff member from 192.0.2.0/24",
		"sign_ins.failed": "refused 7 more sign-ins of staff from 192.0.2.0/24 within a minute",
	} {
		reader.Get("/record?type=" + kind).Is(http.StatusOK).Says(says)
	}
}

const secret = "Your biopsy"

func open(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{Site: webtest.New(t)}
	c.reader = c.Site.Staff(t, "Rita Reader", policy.ReadRecord)
	c.sender = c.Site.Staff(t, "Wendy Writer", policy.SendBulkPortalMessage)
	c.wendy = policy.Subject{Realm: policy.RealmStaff, ID: c.sender.ID, Name: "Wendy Writer", Permissions: []policy.Permission{policy.SendBulkPortalMessage}}
	c.pat = c.Site.PortalUser(t, "pat")
	up, err := c.Compose.Upload(t.Context(), c.wendy, "biopsy.pdf", strings.NewReader("%PDF-1.4\n%%EOF\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.plan = up.ID
	c.message = c.send(t, compose.Request{Subject: secret, Body: "Please call us.", AttachmentIDs: []uuid.UUID{up.ID},
		Recipients: audience.Selection{PortalUserIDs: []string{"pat"}}})
	c.pat.Get("/portal/messages/" + c.message).Is(http.StatusOK)
	c.pat.Get("/portal/messages/" + c.message + "/documents/" + up.ID.String() + "/download").Is(http.StatusOK)
	c.Settle(t)
	return c
}

// send sends a message and waits until all recipients can read it and were alerted.
func (c *clinic) send(t *testing.T, r compose.Request) string {
	t.Helper()
	sent, err := c.Compose.Send(t.Context(), c.wendy, uuid.NewString(), r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	for {
		changed := c.Position.Changed()
		m, err := c.Web.Messages.Message(ctx, c.wendy.ID, sent.ID)
		if err == nil && m.CompletedAt != nil && m.Progress.Alerted+m.Progress.AlertSkipped >= m.Progress.Recipients {
			return sent.ID.String()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the message was not sent: %v", err)
		}
	}
}

// count returns the number of events of a type.
func (c *clinic) count(t *testing.T, kind events.Type) (n int) {
	t.Helper()
	c.Settle(t)
	if err := c.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = $1`, string(kind)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Staff without the permission to read the record are refused, and see no link to it.
func TestReadingTheRecordNeedsThePermission(t *testing.T) {
	t.Parallel()
	c := open(t)
	rae := c.Site.Staff(t, "Rae", policy.ImportDirectory, policy.ManageLabels)
	paths := []string{"/record", "/record/state", "/record/1", "/record/messages/" + c.message,
		"/record/portal-users/pat/disclosures", "/record/patients/pt-pat", "/record/erasures", "/record/erasures/" + uuid.NewString(), "/record/erasures/new"}
	before := c.count(t, events.TypeRecordRead)
	for _, path := range paths {
		rae.Get(path).Is(http.StatusForbidden).LacksHTML(`href="/record"`, "biopsy")
		if got := c.SignedOut(t).Get(path); got.URL.Path != "/sign-in" {
			t.Errorf("%s: a signed-out visitor is redirected to %s", path, got.URL.Path)
		}
		if pat := c.pat.Get(path); pat.URL.Path != "/sign-in" {
			t.Errorf("%s: a portal user is redirected to %s", path, pat.URL.Path)
		}
	}
	for _, path := range []string{"/directory/portal-users/pat", "/directory/patients/pt-pat", "/search?q=record", "/search?q=pat"} {
		rae.Get(path).Is(http.StatusOK).LacksHTML(`href="/record`)
	}
	for _, post := range []string{"/record/erasures", "/record/erasures/" + uuid.NewString() + "/approve", "/record/erasures/" + uuid.NewString() + "/withdraw"} {
		rae.Post(post, url.Values{"message": {c.message}, "reason": {"x"}}).Is(http.StatusForbidden)
		c.reader.Post(post, url.Values{"message": {c.message}, "reason": {"x"}}).Is(http.StatusForbidden)
	}
	if after := c.count(t, events.TypeRecordRead); after != before {
		t.Errorf("%d refused readings were recorded", after-before)
	}
}

// A reader finds events by their message and people, and never sees the content of a
// message.
func TestSearch(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.reader.Get("/messages").HasHTML(`href="/record"`)
	c.reader.Get("/search?q=record").Says("Record")
	today := time.Now().Format(time.DateOnly)
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	sent, opened := "Message sent", "Message opened"
	for _, s := range []struct {
		query      string
		says, lack []string
	}{
		{"", []string{sent, opened, "Document downloaded", "Staff created", "Deliveries recorded", "Alerts accepted"}, nil},
		{"message=" + c.message, []string{sent, opened, "Document downloaded"}, []string{"Staff created event", "Signed in event"}},
		{"portal-user=pat", []string{sent, opened, "Deliveries recorded", "Signed in event"}, []string{"Staff created event"}},
		{"staff=" + c.wendy.ID, []string{sent, "Wendy Writer"}, []string{"Message opened event"}},
		{"type=delivery.opened", []string{opened, "Name of pat"}, []string{"Message sent event"}},
		{"from=" + today + "&until=" + today, []string{sent}, nil},
		{"patient=pt-pat", []string{sent, opened}, []string{"Staff created event", "Signed in event"}},
		{"actor=portal_user:pat", []string{opened, "Signed in event"}, []string{"Message sent event"}},
		{"actor=process:fanout-worker&sort=time", []string{"Deliveries recorded", "Oldest first"}, []string{"Message sent event"}},
		{"from=" + tomorrow, []string{"No event matches"}, []string{"Message sent event"}},
		{"type=message.sent&staff=" + c.reader.ID, []string{"No event matches"}, nil},
	} {
		got := c.reader.Get("/record?"+s.query).Is(http.StatusOK).Says(s.says...).LacksHTML(secret, "biopsy", "call us", "@example.org")
		for _, text := range s.lack {
			if strings.Contains(got.Text(), text) {
				t.Errorf("%q says %q", s.query, text)
			}
		}
	}
	for query, message := range map[string]string{
		"message=x": "no such message", "portal-user=a%20b": "no such person", "type=fly": "from the list",
		"patient=a%20b": "no such person", "actor=pat": "Choose who did it from the list",
		"from=yesterday": "year, month and day", "from=2026-02-01&until=2026-01-01": "must not be before", "before=x": "not complete",
	} {
		c.reader.Get("/record?"+query).Is(http.StatusUnprocessableEntity).Says("There is a problem", message)
	}
}

// The pages of a list have no gap and no duplicate, although each page read adds an event at
// the front.
func TestPagesOfTheRecord(t *testing.T) {
	t.Parallel()
	c := open(t)
	for i := range 60 {
		c.Record(t, "operator:test", events.StaffCreated{StaffID: "s" + strconv.Itoa(i), Name: "S"})
	}
	for _, order := range []string{"", "&order=oldest"} {
		c.follow(t, "/record?type=staff.created"+order)
	}
}

// follow reads a list of events from a page to the last.
func (c *clinic) follow(t *testing.T, path string) {
	t.Helper()
	link := regexp.MustCompile(`href="/record/(\d+)"`)
	older := regexp.MustCompile(`href="(/record\?[^"]*before=[^"]*)" rel="next"`)
	seen, oldest := map[string]bool{}, strings.Contains(path, "oldest")
	for pages, last := 0, 0; path != ""; pages++ {
		got := c.reader.Get(path).Is(http.StatusOK)
		for _, m := range link.FindAllStringSubmatch(got.Body, -1) {
			if seen[m[1]] {
				t.Errorf("event %s is listed twice", m[1])
			}
			seen[m[1]] = true
			seq, _ := strconv.Atoi(m[1])
			if last != 0 && (seq > last) != oldest {
				t.Errorf("event %d is listed after event %d", seq, last)
			}
			last = seq
		}
		path = ""
		if m := older.FindStringSubmatch(got.Body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
		if pages > 5 {
			t.Fatal("the list does not end")
		}
	}
	if want := c.count(t, events.TypeStaffCreated); len(seen) != want {
		t.Errorf("%d events are listed, want %d", len(seen), want)
	}
}

// An event is shown with everything that is stored, and links to its message.
func TestAnEventIsShownInFull(t *testing.T) {
	t.Parallel()
	c := open(t)
	seq := regexp.MustCompile(`href="/record/(\d+)"`).FindStringSubmatch(c.reader.Get("/record?type=message.sent").Body)[1]
	c.reader.Get("/record/"+seq).Is(http.StatusOK).Says("Message sent", "Wendy Writer", "ce-specversion", `"message_id": "`+c.message+`"`, "Leaf of the Merkle tree").
		HasHTML(`href="/record/messages/`+c.message).LacksHTML(secret, "biopsy")
	for _, path := range []string{"/record/0", "/record/999999", "/record/x", "/record/-1", "/record/99999999999999999999"} {
		c.reader.Get(path).Is(http.StatusNotFound)
	}
}

// The timeline of a message lists its events in order, and links back.
func TestTheTimelineOfAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	got := c.reader.Get("/record/messages/" + c.message).Is(http.StatusOK).HasHTML(`href="/messages/` + c.message).LacksHTML(secret)
	at := -1
	for _, step := range []string{"Document downloaded", "Message opened", "Deliveries recorded", "Audience frozen", "Message sent"} {
		next := strings.Index(got.Text(), step)
		if next < at {
			t.Errorf("%s is out of order", step)
		}
		at = next
	}
	c.reader.Get("/messages/" + c.message).HasHTML(`href="/record/messages/` + c.message)
	c.reader.Get("/record/messages/" + uuid.NewString()).Is(http.StatusNotFound)
	c.reader.Get("/record/messages/x").Is(http.StatusNotFound)
}

// Disclosures list the messages about a patient, their recipients, and the link at that
// moment. A link that has ended since does not change them.
func TestDisclosures(t *testing.T) {
	t.Parallel()
	c := open(t)
	rob := c.Site.PortalUser(t, "rob") // will represent pat's patient for a while
	link := `INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_until)
		SELECT portal_user_no, patient_no, 'representative', $1 FROM app.portal_users, app.patients WHERE portal_user_id = 'rob' AND patient_id = 'pt-pat'`
	c.Exec(t, link, nil)
	shared := c.send(t, compose.Request{Subject: "Both", Body: "Of you.", Recipients: audience.Selection{PortalUserIDs: []string{"pat", "rob"}}})
	rob.Get("/portal/messages/" + shared).Is(http.StatusOK)
	c.Exec(t, `UPDATE app.links SET valid_until = $1 WHERE relationship = 'representative'`, time.Now().AddDate(0, 0, -3))
	later := c.send(t, compose.Request{Subject: "Rob alone", Body: "Now.", Recipients: audience.Selection{PortalUserIDs: []string{"rob"}}})
	c.Settle(t)

	about := c.reader.Get("/record/patients/pt-pat").Is(http.StatusOK).
		Says("Family", "Name of pat", "Name of rob", "Authorized Representative (ended since, on "+time.Now().AddDate(0, 0, -3).Format("2 January 2006")+")", "Self").
		HasHTML(shared, c.message).LacksHTML(later, secret)
	if n := strings.Count(about.Body, `data-label="Evidence"`); n != 3 {
		t.Errorf("%d disclosures are listed, want 3", n)
	}
	c.reader.Get("/record/portal-users/rob/disclosures").Is(http.StatusOK).Says("Authorized Representative of Given Family").HasHTML(shared, later)
	c.reader.Get("/record?portal-user=rob").Is(http.StatusOK).Says("Message opened", "Deliveries recorded").LacksHTML(c.message)
	for _, path := range []string{"/record/patients/unknown", "/record/portal-users/unknown", "/record/portal-users/unknown/disclosures"} {
		c.reader.Get(path).Is(http.StatusNotFound)
	}
	c.reader.Get("/record/patients/pt-pat?before=x").Is(http.StatusUnprocessableEntity)
}

// The page of a message says why a portal user got it, or not, as the directory was then.
func TestWhySomebodyGotAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.Site.PortalUser(t, "rob")
	path := "/record/messages/" + c.message + "/why"
	c.reader.Get("/record/messages/" + c.message).HasHTML(`href="` + path + `"`)
	c.reader.Get("/record/portal-users/pat/disclosures").HasHTML(`href="` + path + `?portal-user=pat"`)
	before := c.count(t, events.TypeRecordRead)
	c.reader.Get(path).Is(http.StatusOK).LacksHTML("govuk-summary-list")
	c.reader.Get(path+"?portal-user=pat").Is(http.StatusOK).Says("Name of pat", "Yes", "chosen by id", "Given Family (pt-pat)")
	c.reader.Get(path+"?portal-user=rob").Is(http.StatusOK).Says("Name of rob", "No", "not chosen: the message was sent to other portal users by id")
	c.reader.Get(path + "?portal-user=unknown").Is(http.StatusUnprocessableEntity).Says("No one in the directory has this id")
	c.reader.Get("/record/messages/" + uuid.NewString() + "/why").Is(http.StatusNotFound)
	if n := c.count(t, events.TypeRecordRead) - before; n != 2 {
		t.Errorf("%d readings were recorded, want 2", n)
	}
}

// Reading the record is recorded, once for each page that shows events.
func TestReadingTheRecordIsRecorded(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, path := range []string{"/record", "/record/1", "/record/messages/" + c.message,
		"/record/portal-users/pat/disclosures", "/record/patients/pt-pat"} {
		before := c.count(t, events.TypeRecordRead)
		c.reader.Head(path).Is(http.StatusMethodNotAllowed)
		c.reader.Get("/record/state").Is(http.StatusOK)
		if n := c.count(t, events.TypeRecordRead) - before; n != 0 {
			t.Errorf("%s: %d readings were recorded although nothing was shown", path, n)
		}
		c.reader.Get(path).Is(http.StatusOK)
		want := 1
		if path == "/record/portal-users/pat" {
			want = 2 // the messages, and the events about the account
		}
		if n := c.count(t, events.TypeRecordRead) - before; n != want {
			t.Errorf("%s: %d readings were recorded, want %d", path, n, want)
		}
	}
	c.reader.Get("/record").Says("Record read", "Rita Reader")
	c.reader.Get("/record?type=message.sent").HasHTML(`href="/v1/record.csv?type=message.sent"`, `href="/v1/record.ndjson?type=message.sent"`, `href="/v1/record.fhir.ndjson?type=message.sent"`)
	got := c.reader.Get("/v1/record.csv?type=message.sent").Is(http.StatusOK)
	if !strings.Contains(got.Body, c.message) {
		t.Errorf("the file is %s", got.Body)
	}
	if c.count(t, events.TypeRecordExported) != 1 {
		t.Error("the export was not recorded")
	}
}

// The top of the page shows the state of the record, including any fault.
func TestTheStateOfTheRecord(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.Exec(t, `INSERT INTO app.record_check (ok, detail) VALUES (true, 'whole') ON CONFLICT (singleton) DO UPDATE SET ok = true, checked_at = now()`)
	n := c.Settle(t)
	c.awaitSigned(t, n) // the recorder signs nothing from here on
	c.reader.Fragment("/record/state").Is(http.StatusOK).Says(strconv.FormatUint(n, 10)+" events", "matched the second copy at the last check", "s ago")
	c.Exec(t, `UPDATE app.record_check SET ok = false, detail = 'the stream is damaged: event 7 missing from the stream'`)
	c.reader.Fragment("/record/state").Says("event 7 missing from the stream").HasHTML("app-standing--broken")
	c.sign(t, 7)
	c.reader.Fragment("/record/state").Says("Proved up to event 7", "with the key clinic.example/record").HasHTML("app-standing--broken")
	c.Exec(t, `UPDATE app.record_check SET ok = true, detail = 'whole'`)
	c.reader.Fragment("/record/state").LacksHTML("app-standing--broken", "no recorder")
	// No recorder checks or signs.
	c.Exec(t, `UPDATE app.record_check SET checked_at = now() - interval '4 minutes'`)
	c.reader.Fragment("/record/state").Says("4 min ago. That is too long ago: no recorder is checking them.").HasHTML("app-standing--broken")
	c.Exec(t, `UPDATE app.record_check SET checked_at = now()`)
	c.Exec(t, `UPDATE record.events SET time = now() - interval '5 minutes' WHERE seq = 8`)
	c.reader.Fragment("/record/state").Says("Later events are waiting for a signature, the oldest from 5 min ago: no recorder is signing").HasHTML("app-standing--broken")
	c.sign(t, n)
	c.reader.Fragment("/record/state").LacksHTML("no recorder is signing", "app-standing--broken")
	// The signed events are not the present ones.
	c.Exec(t, `UPDATE record.hashes SET hash = sha256('x')`)
	c.reader.Fragment("/record/state").Says("These are not the events that were signed").LacksHTML("Proved").HasHTML("app-standing--broken")
	c.Exec(t, `DELETE FROM app.checkpoint_keys`)
	c.reader.Fragment("/record/state").Says("not signed with a known key")
}

// awaitSigned waits until the recorder has signed a checkpoint of all size events. It polls,
// because there is no notification.
func (c *clinic) awaitSigned(t *testing.T, size uint64) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for signed := uint64(0); signed < size; <-poll.C {
		if err := c.Admin.QueryRow(t.Context(), `SELECT coalesce(max(size), 0) FROM app.checkpoints`).Scan(&signed); err != nil {
			t.Fatal(err)
		}
	}
}

// sign signs a checkpoint with a new key, and makes the key known.
func (c *clinic) sign(t *testing.T, size uint64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "checkpoint.key")
	if _, err := checkpoint.CreateKeyFile(file, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	keys, err := checkpoint.ReadKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := merkle.TreeAt(int64(size), merklestore.Hashes(t.Context(), c.Admin, "record.hashes")) // #nosec G115 -- small
	if err != nil {
		t.Fatal(err)
	}
	signed, err := checkpoint.Checkpoint{Size: size, Root: tree.Root()}.Sign(keys.Signer)
	if err != nil {
		t.Fatal(err)
	}
	c.Exec(t, `INSERT INTO app.checkpoint_keys (verifier) VALUES ($1)`, keys.Verifiers[0])
	c.Exec(t, `INSERT INTO app.checkpoints (size, root, signed) VALUES ($1, decode(repeat('00', 32), 'hex'), $2)`, size, signed)
}

// holds checks that a rebuild from the record gives the same tables.
func (c *clinic) holds(t *testing.T) {
	t.Helper()
	c.Settle(t)
	compared, err := (&rebuild.Rebuild{Log: c.Log, Pool: c.Admin}).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range compared {
		if !table.Same() {
			t.Errorf("a rebuild gives another %s", table.Table)
		}
	}
}

// A reader picks people and messages by words, without scripts and with them, and never types an id.
// Finding people is recorded, and so is the list of events afterwards.
func TestPickingPeopleAndMessages(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.reader.Get("/record").HasHTML(`<input dir="auto" class="govuk-input" id="find" name="q" type="search"`, ">Wendy Writer</option>", ">fanout-worker (process)</option>").
		LacksHTML("(id)", "kind:id")
	before := c.count(t, events.TypeRecordRead)
	got := c.reader.Post("/record", url.Values{"q": {"name pat"}, "type": {"delivery.opened"}}).Is(http.StatusOK).
		Says("Portal Users", "Name of pat", "Given Family", "Back to the events").
		HasHTML(`href="/record?portal-user=pat&amp;type=delivery.opened"`, `href="/record?actor=portal_user%3Apat&amp;type=delivery.opened"`)
	if strings.Contains(got.URL.String(), "pat") {
		t.Errorf("the address is %s, and has the words", got.URL)
	}
	if n := c.count(t, events.TypeRecordRead) - before; n != 1 {
		t.Errorf("%d readings were recorded, want 1", n)
	}
	c.reader.PostFragment("/record", url.Values{"q": {"given family"}}).Is(http.StatusOK).Says("Patients").
		HasHTML(`href="/record?patient=pt-pat"`).LacksHTML("<html")
	for _, words := range []string{"biopsy", "wendy", c.Clock.Now().Format(time.DateOnly), c.Clock.Now().Format("2 January 2006")} {
		c.reader.Post("/record", url.Values{"q": {words}}).Is(http.StatusOK).Says("Messages", secret, "by Wendy Writer").HasHTML(`href="/record?message=` + c.message + `"`)
	}
	before = c.count(t, events.TypeRecordRead)
	c.reader.Post("/record", url.Values{"q": {"zebra"}}).Is(http.StatusOK).Says("No one and no message matches")
	if n := c.count(t, events.TypeRecordRead) - before; n != 0 {
		t.Errorf("%d readings were recorded, and nothing was shown", n)
	}
	c.sender.Post("/record", url.Values{"q": {"name pat"}}).Is(http.StatusForbidden).LacksHTML("Name of pat")

	picked := c.reader.Get("/record?portal-user=pat&patient=pt-pat&message="+c.message).Is(http.StatusOK).
		Says("Portal User: Name of pat", "Patient: Given Family", "Message: sent", "by Wendy Writer").
		HasHTML(`href="/record?message=`+c.message+`&amp;patient=pt-pat">Remove`, `<input type="hidden" name="portal-user" value="pat">`)
	if !strings.Contains(picked.Text(), "Message opened") {
		t.Errorf("the list says %s", picked.Text())
	}
	c.reader.Get("/record?actor=portal_user:pat").HasHTML(`selected>Name of pat</option>`)
}

// Lists in order of type or actor have no gap and no duplicate, in both directions.
func TestSortedPagesOfTheRecord(t *testing.T) {
	t.Parallel()
	c := open(t)
	for i := range 70 {
		c.Record(t, "operator:o"+strconv.Itoa(i%7), events.StaffCreated{StaffID: "s" + strconv.Itoa(i), Name: "S"}, events.LabelChanged{Change: uuid.New(), Label: "patient", One: "Client", Many: "Clients"})
	}
	all := c.count(t, events.TypeStaffCreated)
	for _, filter := range []string{"sort=actor", "sort=-actor", "sort=type", "sort=-type", "sort=time"} {
		seen := map[string]bool{}
		for path := "/record?from=2001-01-01&" + filter; path != ""; {
			got := c.reader.Get(path).Is(http.StatusOK)
			for _, m := range regexp.MustCompile(`href="/record/(\d+)">Staff created<`).FindAllStringSubmatch(got.Body, -1) {
				if seen[m[1]] {
					t.Errorf("%s: event %s is listed twice", filter, m[1])
				}
				seen[m[1]] = true
			}
			path = ""
			if m := regexp.MustCompile(`href="(/record\?[^"]*before=[^"]*)" rel="next"`).FindStringSubmatch(got.Body); m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		if len(seen) != all {
			t.Errorf("%s: %d events are listed, want %d", filter, len(seen), all)
		}
	}
	first := func(sort string) string {
		return regexp.MustCompile(`href="/record/\d+">([^<]+)<`).FindStringSubmatch(c.reader.Get("/record?sort=" + sort).Body)[1]
	}
	if first("-actor") == first("actor") || first("type") == first("-type") {
		t.Error("the first event is the same in both directions")
	}
}
