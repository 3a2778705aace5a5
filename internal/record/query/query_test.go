package query_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/record/query"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const reviewer = query.Actor("staff:rosa")

// world is a record with two messages, sent a day apart.
type world struct {
	*composetest.System
	record        *query.Reader
	ada           policy.Subject
	cy            policy.Subject // represents pt-bo, whose own account is bo
	first, second uuid.UUID      // to bo and cy; to dee, later taken back
	evening       time.Time      // between the two
	recorded      uint64         // how many events there were then
}

func newWorld(t *testing.T) *world {
	w := &world{System: composetest.New(t), first: uuid.Must(uuid.NewV7()), second: uuid.Must(uuid.NewV7())}
	w.record = query.New(query.Config{Pool: w.Pool, Facts: facts.Publisher{Source: "/api", Send: w.Publish, Clock: w.Clock.Now}})
	w.ada = w.Staff(t, "Ada", policy.SendPortalMessage)
	bo, dee := w.PortalUser(t, "bo"), w.PortalUser(t, "dee")
	w.cy = w.PortalUser(t, "cy")
	w.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT $1, patient_no, 'representative' FROM app.patients WHERE patient_id = 'pt-bo'`, w.cy.No)
	w.sent(t, w.first, "bo", "cy")
	w.Record(t, bo.Actor(), events.DeliveryOpened{MessageID: w.first, PortalUserID: "bo", PortalUserNo: bo.No},
		events.SignIn{Attempt: uuid.New(), Account: "portal_user", ID: "bo", Method: events.ByPassword})
	w.Clock.Advance(time.Hour)
	w.evening = w.Clock.Now().UTC()
	w.Clock.Advance(time.Hour)
	w.sent(t, w.second, "dee")
	w.Record(t, dee.Actor(), events.DeliveryOpened{MessageID: w.second, PortalUserID: "dee", PortalUserNo: dee.No})
	w.Record(t, w.ada.Actor(), events.MessageRecalled{MessageID: w.second, StaffID: w.ada.ID, Reason: "wrong", Opened: 1})
	w.recorded = w.Settle(t)
	return w
}

// sent records a message, its deliveries and the outcomes of their alerts.
func (w *world) sent(t *testing.T, message uuid.UUID, to ...string) {
	t.Helper()
	digest := "sha256:" + string(slices.Repeat([]byte("0"), 64))
	w.Record(t, w.ada.Actor(), events.MessageSent{MessageID: message, SenderID: w.ada.ID, SubjectDigest: digest, BodyDigest: digest,
		Attachments: []events.AttachmentFact{{AttachmentID: uuid.New(), MediaType: "application/pdf", Size: 9, SHA256: digest[7:]}},
		Recipients:  events.Selection{PortalUserIDs: to, Groups: []string{}}, StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: w.Clock.Now()})
	w.Deliver(t, message)
	w.Record(t, "process:notify-worker", events.AlertOutcome{MessageID: message, Chunks: 1, Attempt: 1, Recipients: len(to),
		State: events.AlertAccepted, Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}})
}

// types gives the types of entries, oldest first.
func types(found []query.Entry) []string {
	var all []string
	for _, e := range slices.Backward(found) {
		all = append(all, string(e.Type))
	}
	return all
}

var (
	sending   = []string{"message.sent", "audience.resolved", "deliveries.created", "fanout.completed", "alerts.accepted"}
	delivered = []string{"message.sent", "deliveries.created", "alerts.accepted"}
	setUp     = []string{"staff.created", "permission.granted"}
)

// Events about all recipients of a message are found by SQL for each type: a new such type
// needs an arm in [Filter.about], and a case in TestFilters.
func TestWhatIsAboutAllRecipients(t *testing.T) {
	t.Parallel()
	got := events.TypesWhere(func(d events.Descriptor) bool { return d.About == events.AboutRecipients })
	if diff := cmp.Diff([]events.Type{events.TypeMessageSent, events.TypeMessageRecalled}, got); diff != "" {
		t.Errorf("(-SQL +registry):\n%s", diff)
	}
}

// Each filter selects exactly the events about the person or message that it names.
func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		filter query.Filter
		want   []string
	}{
		"everything":                             {query.Filter{}, slices.Concat(setUp, sending, []string{"delivery.opened", "signed_in"}, sending, []string{"delivery.opened", "message.recalled"})},
		"a message":                              {query.Filter{MessageID: w.first}, slices.Concat(sending, []string{"delivery.opened"})},
		"no message":                             {query.Filter{MessageID: uuid.New()}, nil},
		"a type":                                 {query.Filter{Type: "delivery.opened"}, []string{"delivery.opened", "delivery.opened"}},
		"no type":                                {query.Filter{Type: "nothing.happened"}, nil},
		"staff":                                  {query.Filter{Actor: w.ada.Actor()}, []string{"message.sent", "message.sent", "message.recalled"}},
		"a process":                              {query.Filter{Actor: "process:notify-worker"}, []string{"alerts.accepted", "alerts.accepted"}},
		"since":                                  {query.Filter{From: w.evening}, slices.Concat(sending, []string{"delivery.opened", "message.recalled"})},
		"until":                                  {query.Filter{To: w.evening}, slices.Concat(setUp, sending, []string{"delivery.opened", "signed_in"})},
		"never":                                  {query.Filter{From: w.evening, To: w.evening}, nil},
		"a portal user who opened and signed in": {query.Filter{PortalUserID: "bo"}, slices.Concat(delivered, []string{"delivery.opened", "signed_in"})},
		"a portal user who did nothing":          {query.Filter{PortalUserID: "cy"}, delivered},
		"a portal user whose message was taken back": {query.Filter{PortalUserID: "dee"},
			slices.Concat(delivered, []string{"delivery.opened", "message.recalled"})},
		"an unknown portal user":                     {query.Filter{PortalUserID: "zoe"}, nil},
		"a patient: all deliveries on their account": {query.Filter{PatientID: "pt-bo"}, slices.Concat(delivered, []string{"delivery.opened"})},
		"a patient of one portal user":               {query.Filter{PatientID: "pt-bo", PortalUserID: "cy"}, delivered},
		"a patient of another portal user":           {query.Filter{PatientID: "pt-bo", PortalUserID: "dee"}, nil},
		"a message and a type":                       {query.Filter{MessageID: w.second, Type: "message.recalled"}, []string{"message.recalled"}},
		"a message and its reader":                   {query.Filter{MessageID: w.first, PortalUserID: "bo"}, slices.Concat(delivered, []string{"delivery.opened"})},
		"a message and another portal user":          {query.Filter{MessageID: w.second, PortalUserID: "bo"}, nil},
		"a portal user since":                        {query.Filter{PortalUserID: "bo", From: w.evening}, nil},
		"all at once": {query.Filter{MessageID: w.first, PortalUserID: "bo", PatientID: "pt-bo", Type: "delivery.opened",
			Actor: "portal_user:bo", To: w.evening}, []string{"delivery.opened"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.filter
			if f.To.IsZero() { // but not the readings of this test
				f.To = w.Clock.Now().Add(time.Hour)
			}
			var found []query.Entry
			for before := (query.Cursor{}); ; {
				page, err := w.record.Find(t.Context(), reviewer, f, before, 2)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, e := range page {
					if e.Seq <= w.recorded {
						found = append(found, e)
					}
				}
				before = page[len(page)-1].Cursor()
			}
			if diff := cmp.Diff(c.want, types(found)); diff != "" {
				t.Errorf("(-want +found):\n%s", diff)
			}
			for _, e := range found {
				if e.Summary == "" {
					t.Errorf("nothing is said of %s", e.Type)
				}
			}
		})
	}
}

func TestReadingIsOnTheRecordBeforeAnythingIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found, err := w.record.Find(t.Context(), reviewer, query.Filter{MessageID: w.first}, query.Cursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := w.record.Event(t.Context(), reviewer, found[0].Seq)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Type != found[0].Type || whole.Subject == "" || len(whole.Leaf) != 32 || whole.Headers["ce-id"][0] != whole.ID.String() {
		t.Errorf("the event is %+v", whole)
	}
	w.Settle(t)
	readings, err := w.record.Find(t.Context(), reviewer, query.Filter{Type: events.TypeRecordRead, Actor: string(reviewer)}, query.Cursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range readings {
		said = append(said, e.Summary)
	}
	want := []string{"Staff member rosa read event " + strconv.FormatUint(found[0].Seq, 10) + " of the record", "Staff member rosa read a list of 6 events of the record"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +said):\n%s", diff)
	}
	if _, err := w.record.Event(t.Context(), reviewer, 1_000_000); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("an event that there is not: %v", err)
	}

	w.Break(&composetest.Fault{Err: context.DeadlineExceeded})
	if got, err := w.record.Find(t.Context(), reviewer, query.Filter{}, query.Cursor{}, 1); err == nil {
		t.Errorf("read without a record of it: %v", got)
	}
	if got, err := w.record.Event(t.Context(), reviewer, 1); err == nil {
		t.Errorf("read without a record of it: %v", got)
	}
}
