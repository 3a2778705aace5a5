package emergency_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/directory/audience"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/record/emergency"
	"postern/internal/record/query"
	"postern/internal/recorder/rebuild"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const why = "Their doctor is away."

// clinic is a system with a delivered message, a person who may open it in an emergency, and a
// reviewer.
type clinic struct {
	*composetest.System
	access            *emergency.Emergencies
	message, document uuid.UUID
	patient           string
	eve, rae          policy.Subject
}

func open(t *testing.T) *clinic {
	t.Helper()
	s := composetest.New(t)
	publisher := facts.Publisher{Source: "/api", Send: s.Publish, Reached: s.Position.Wait, Clock: s.Clock.Now}
	c := &clinic{System: s, access: emergency.New(emergency.Config{Pool: s.Pool, Facts: publisher,
		Reader: reader.New(reader.Config{Pool: s.Pool, Content: s.Content}), Record: query.New(query.Config{Pool: s.Pool, Facts: publisher}),
		TwoPeople: twopeople.Rule{Age: twopeople.Days(7)}})}
	c.eve, c.rae = s.Staff(t, "Eve", policy.EmergencyAccess, policy.ReadRecord), s.Staff(t, "Rae", policy.ReadRecord)
	writer := s.Staff(t, "Writer", policy.SendPortalMessage)
	up, err := s.Compose.Upload(t.Context(), writer, "plan.pdf", strings.NewReader("%PDF-1.4\n%%EOF\n"))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := s.Compose.Send(t.Context(), writer, "key", compose.Request{Subject: "Your results", Body: "They are good.",
		Recipients: audience.Selection{PortalUserIDs: []string{s.PortalUser(t, "pu-1").ID}}, AttachmentIDs: []uuid.UUID{up.ID}})
	if err != nil {
		t.Fatal(err)
	}
	c.message, c.document = sent.ID, up.ID
	s.Deliver(t, sent.ID)
	if err := s.Admin.QueryRow(t.Context(), `SELECT patient_id FROM app.patients LIMIT 1`).Scan(&c.patient); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(twopeople.Days(8))
	return c
}

// opens opens the message for Eve.
func (c *clinic) opens(t *testing.T) emergency.Opening {
	t.Helper()
	o, err := c.access.Open(t.Context(), c.eve, emergency.Of{MessageID: c.message}, why)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// recorded lists the events of emergency access, in order.
func (c *clinic) recorded(t *testing.T) (types []string) {
	t.Helper()
	rows, err := c.Admin.Query(t.Context(), `SELECT type FROM record.events WHERE type LIKE 'emergency.%' ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		types = append(types, one)
	}
	return types
}

// rebuilt checks that the tables equal a rebuild from the record.
func (c *clinic) rebuilt(t *testing.T) {
	t.Helper()
	c.Settle(t)
	compared, err := (&rebuild.Rebuild{Log: c.Log, Pool: c.Admin}).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range compared {
		if !table.Same() {
			t.Errorf("%s differs from a rebuild", table.Table)
		}
	}
}

// The opening and each look are on the record; another person reviews it.
func TestAnEmergency(t *testing.T) {
	t.Parallel()
	c := open(t)
	o := c.opens(t)
	if o.State != emergency.Open || o.Reason != why || !o.Until.Equal(o.OpenedAt.Add(emergency.Lifetime)) {
		t.Errorf("it is %+v", o)
	}
	if h, body, err := c.access.Content(t.Context(), c.eve, o.ID); err != nil || h.Subject != "Your results" || body != "They are good." {
		t.Errorf("the content is %q %q: %v", h.Subject, body, err)
	}
	if a, data, err := c.access.Document(t.Context(), c.eve, o.ID, c.document); err != nil || a.Name != "plan.pdf" || len(data) == 0 {
		t.Errorf("the document is %q: %v", a.Name, err)
	}
	p, err := c.access.Open(t.Context(), c.eve, emergency.Of{PatientID: c.patient}, why)
	if err != nil {
		t.Fatal(err)
	}
	if found, more, err := c.access.Disclosures(t.Context(), c.eve, p.ID, query.DisclosureCursor{}, 10); err != nil || more || len(found) != 1 || found[0].MessageID != c.message {
		t.Errorf("the disclosures are %+v: %v", found, err)
	}
	if got := strings.Join(c.recorded(t), " "); got != "emergency.opened emergency.read emergency.read emergency.opened emergency.read" {
		t.Errorf("recorded is %s", got)
	}
	if _, err := c.access.Review(t.Context(), c.rae, o.ID, "Why?"); !errors.Is(err, emergency.ErrOpen) {
		t.Errorf("reviewing an open one: %v", err)
	}
	for range 2 {
		if o, err := c.access.End(t.Context(), c.eve, o.ID); err != nil || o.State != emergency.Ended || *o.EndedBy != c.eve.Actor() {
			t.Errorf("ending it: %+v, %v", o, err)
		}
	}
	waiting, err := c.access.Unreviewed(t.Context())
	if err != nil || len(waiting) != 2 || waiting[0].ID != p.ID || waiting[1].Reads != 2 {
		t.Errorf("the worklist is %+v: %v", waiting, err)
	}
	done, err := c.access.Review(t.Context(), c.rae, o.ID, "It was needed.")
	if err != nil || done.State != emergency.Reviewed || *done.Note != "It was needed." {
		t.Errorf("reviewing it: %+v, %v", done, err)
	}
	c.rebuilt(t)
}

// Nothing is shown without the record, to another person, for another thing, and after the end.
func TestWhatIsNotShown(t *testing.T) {
	t.Parallel()
	c := open(t)
	byToken := c.eve
	byToken.Token = uuid.NewString()
	fred := c.Staff(t, "Fred", policy.EmergencyAccess)
	for name, test := range map[string]struct {
		who  policy.Subject
		of   emergency.Of
		why  string
		want error
	}{
		"without the permission": {c.rae, emergency.Of{MessageID: c.message}, why, policy.ErrForbidden},
		"with a token":           {byToken, emergency.Of{MessageID: c.message}, why, policy.ErrSessionNeeded},
		"an unknown message":     {c.eve, emergency.Of{MessageID: uuid.New()}, why, message.ErrNotFound},
		"an unknown patient":     {c.eve, emergency.Of{PatientID: "unknown\x00"}, why, emergency.ErrNoPatient},
		"without a reason":       {c.eve, emergency.Of{MessageID: c.message}, "  ", nil},
	} {
		_, err := c.access.Open(t.Context(), test.who, test.of, test.why)
		if invalid := new(compose.Invalid); test.want == nil && errors.As(err, &invalid) {
			continue
		}
		if err == nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	o := c.opens(t)
	read := func(who policy.Subject) error {
		h, body, err := c.access.Content(t.Context(), who, o.ID)
		if err != nil && (h.Subject != "" || body != "") {
			t.Errorf("an error shows content: %v", err)
		}
		return err
	}
	if err := read(fred); !errors.Is(err, emergency.ErrNotFound) {
		t.Errorf("by another person: %v", err)
	}
	if err := read(byToken); !errors.Is(err, policy.ErrSessionNeeded) {
		t.Errorf("by a token: %v", err)
	}
	if _, _, err := c.access.Disclosures(t.Context(), c.eve, o.ID, query.DisclosureCursor{}, 10); !errors.Is(err, emergency.ErrOther) {
		t.Errorf("disclosures of a message: %v", err)
	}
	c.Break(&composetest.Fault{Err: errors.New("NATS is away")})
	if err := read(c.eve); !errors.Is(err, facts.ErrUnavailable) {
		t.Errorf("without the record: %v", err)
	}
	c.Break(nil)
	if err := read(c.eve); err != nil {
		t.Errorf("with it: %v", err)
	}
	c.Erase(t, c.message)
	if err := read(c.eve); !errors.Is(err, message.ErrErased) {
		t.Errorf("erased content: %v", err)
	}
	c.Clock.Advance(emergency.Lifetime)
	if err := read(c.eve); !errors.Is(err, emergency.ErrOver) {
		t.Errorf("after an hour: %v", err)
	}
	c.rebuilt(t)
}

// An opening ends with the permission and with the account, for whichever reason. A reading that
// is published after the end, by whichever process, is shown by nothing.
func TestWhatEndsAnEmergency(t *testing.T) {
	t.Parallel()
	c := open(t)
	permission := events.PermissionChanged{Change: uuid.New(), StaffID: c.eve.ID, Permission: string(policy.EmergencyAccess)}
	given := permission
	given.Change, given.Granted = uuid.New(), true
	c.Staff(t, "Ada", policy.ManageStaff)
	for name, end := range map[string][]events.Body{
		"the permission": {permission, given},
		"the account": {events.StaffEnabledChanged{Disabled: true, Change: uuid.New(), StaffID: c.eve.ID},
			events.StaffEnabledChanged{Change: uuid.New(), StaffID: c.eve.ID}},
	} {
		o := c.opens(t)
		c.Record(t, "operator:test", end...)
		if _, _, err := c.access.Content(t.Context(), c.eve, o.ID); !errors.Is(err, emergency.ErrOver) {
			t.Errorf("with %s: %v", name, err)
		}
		if o, err := c.access.Find(t.Context(), o.ID); err != nil || o.State != emergency.Ended || *o.EndedBy != "operator:test" {
			t.Errorf("with %s it is %+v: %v", name, o, err)
		}
		c.Record(t, c.eve.Actor(), events.EmergencyRead{Reading: uuid.New(), Opening: o.ID, What: events.ReadContent, MessageID: &c.message})
		if reads, err := c.access.Readings(t.Context(), o.ID); err != nil || len(reads) != 0 {
			t.Errorf("with %s %d readings count: %v", name, len(reads), err)
		}
	}
	c.rebuilt(t)
}

// A review is by another person: not the one who opened it, and no account that counts as theirs.
// Of two reviews at once, one counts.
func TestWhoReviews(t *testing.T) {
	t.Parallel()
	c := open(t)
	o := c.opens(t)
	c.Clock.Advance(emergency.Lifetime)
	young := c.Staff(t, "Yves", policy.ReadRecord)
	for name, test := range map[string]struct {
		who  policy.Subject
		want func(error) bool
	}{
		"their own":              {c.eve, func(err error) bool { return errors.As(err, new(twopeople.NotTwo)) }},
		"a new account":          {young, func(err error) bool { return errors.As(err, new(twopeople.NotTwo)) }},
		"without the permission": {c.Staff(t, "Fred", policy.EmergencyAccess), func(err error) bool { return errors.Is(err, policy.ErrForbidden) }},
	} {
		if _, err := c.access.Review(t.Context(), test.who, o.ID, "Fine."); !test.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Record(t, c.eve.Actor(), events.EmergencyReviewed{Opening: o.ID, ReviewedBy: c.eve.Actor(), Note: "Fine."}) // forged: it is parked
	c.Record(t, c.eve.Actor(), events.EmergencyReviewed{Opening: o.ID, ReviewedBy: c.rae.Actor(), Note: "Fine."}) // in Rae's name
	if o, err := c.access.Find(t.Context(), o.ID); err != nil || o.State != emergency.Ended {
		t.Errorf("it is %s: %v", o.State, err)
	}
	// The account of the person who used it may be disabled by then.
	c.Staff(t, "Ada", policy.ManageStaff)
	c.Record(t, "operator:test", events.StaffEnabledChanged{Disabled: true, Change: uuid.New(), StaffID: c.eve.ID})
	sam := c.Staff(t, "Sam", policy.ReadRecord)
	c.Clock.Advance(8 * 24 * time.Hour)
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i, who := range []policy.Subject{sam, c.rae} {
		all.Go(func() { _, errs[i] = c.access.Review(t.Context(), who, o.ID, "It was needed.") })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), emergency.ErrReviewed) {
		t.Errorf("two reviews: %v", errs)
	}
	c.rebuilt(t)
}
