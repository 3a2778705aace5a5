package compose_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/content/message"
	"postern/internal/directory/audience"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/proof/entrykey"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var pdf = []byte("%PDF-1.7\nconsent form\n%%EOF\n")

// sender returns a staff member who may send messages, also to groups.
func sender(t *testing.T, s *composetest.System) policy.Subject {
	return s.Staff(t, "Ada Sender", policy.SendPortalMessage, policy.SendBulkPortalMessage)
}

func to(ids ...string) audience.Selection { return audience.Selection{PortalUserIDs: ids} }

func send(t *testing.T, s *composetest.System, by policy.Subject, key string, r compose.Request) compose.Answer {
	t.Helper()
	a, err := s.Compose.Send(t.Context(), by, key, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// published returns the recorded message.sent events.
func published(t *testing.T, s *composetest.System) []events.MessageSent {
	t.Helper()
	last := s.Settle(t)
	var found []events.MessageSent
	for seq := uint64(1); seq <= last; seq++ {
		stored, err := s.Log.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Parse(stored.Header, stored.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == events.TypeMessageSent {
			m, err := events.Decode[events.MessageSent](e)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, m)
		}
	}
	return found
}

// A sent message can be read by people who may, and the record has only digests of its content.
func TestAMessageIsSent(t *testing.T) {
	s := composetest.New(t)
	ada, bob := sender(t, s), s.Staff(t, "Bob")
	s.PortalUser(t, "pu-1")
	up, err := s.Compose.Upload(t.Context(), ada, `C:\scans\Diagnosis.pdf`, bytes.NewReader(pdf))
	if err != nil {
		t.Fatal(err)
	}
	r := compose.Request{Subject: "Your results", Body: "Dear you,\r\n\tsee https://example.org\n", Recipients: to("pu-1", "pu-1"),
		StaffBcc: []string{bob.ID, bob.ID}, AttachmentIDs: []uuid.UUID{up.ID}}
	answer := send(t, s, ada, "key-1", r)
	if answer.Status != "sending" {
		t.Errorf("a message to one portal user is %s, want sending at once", answer.Status)
	}

	s.Await(t, answer.Seq)
	h, body, err := s.Reader.Open(t.Context(), answer.ID)
	if err != nil {
		t.Fatal(err)
	}
	if h.Subject != r.Subject || body != "Dear you,\n\tsee https://example.org\n" {
		t.Errorf("it reads %q, %q", h.Subject, body)
	}
	document, data, err := s.Reader.OpenAttachment(t.Context(), answer.ID, up.ID)
	if err != nil {
		t.Fatal(err)
	}
	if document.Name != "Diagnosis.pdf" || !bytes.Equal(data, pdf) {
		t.Errorf("its document is %q with %d bytes", document.Name, len(data))
	}

	sum := sha256.Sum256(pdf)
	salted := func(text string) string {
		d := sha256.Sum256(append(slices.Clone(h.Salt), text...))
		return "sha256:" + hex.EncodeToString(d[:])
	}
	want := []events.MessageSent{{
		MessageID: answer.ID, SenderID: ada.ID, SubjectDigest: salted(h.Subject), BodyDigest: salted(body),
		Attachments: []events.AttachmentFact{{AttachmentID: up.ID, MediaType: "application/pdf", Size: int64(len(pdf)), SHA256: hex.EncodeToString(sum[:])}},
		Recipients:  events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{}, About: map[string][]string{"pu-1": {"pt-pu-1"}}},
		StaffBcc:    []string{bob.ID}, Hold: events.HoldNone, ReleaseAt: answer.ReleaseAt,
	}}
	got := published(t, s)
	if len(got) == 1 {
		if h := got[0].Hidden; h == nil || h.Entries != 1 || len(h.Seed) == 0 {
			t.Errorf("it hides the recipients by %+v", h)
		}
		got[0].Hidden = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the record says (-want +got):\n%s", diff)
	}
}

// A message's content is stored only encrypted, and a message that is recorded as erased can't be
// read, nor its attachments.
func TestAnErasedMessage(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	up, err := s.Compose.Upload(t.Context(), ada, "Xylophobia.pdf", bytes.NewReader(pdf))
	if err != nil {
		t.Fatal(err)
	}
	id := send(t, s, ada, "k", compose.Request{Subject: "Xylophobia", Body: "Xylophobia", Recipients: to("pu-1"), AttachmentIDs: []uuid.UUID{up.ID}}).ID
	s.Settle(t)
	for _, table := range []string{"app.sends", "app.message_content", "app.attachments", "record.messages", "record.events"} {
		var leaks int
		err := s.Admin.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*) FROM %s t WHERE t::text ILIKE '%%xylophobia%%' OR t::text ILIKE '%%' || encode('Xylophobia', 'hex') || '%%'`, table)).Scan(&leaks)
		if err != nil || leaks > 0 {
			t.Errorf("%s holds content in the clear: %d rows, %v", table, leaks, err)
		}
	}

	s.Clock.Advance(31 * 24 * time.Hour)
	if err := s.Compose.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Reader.OpenAttachment(t.Context(), id, up.ID); err != nil {
		t.Fatalf("sweeping uploads took the document from its message: %v", err)
	}
	s.Erase(t, id)
	var keys int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM app.attachments`).Scan(&keys); err != nil || keys != 0 {
		t.Errorf("%d keys of attachments are left beside the message, %v", keys, err)
	}
	if _, _, err := s.Reader.Open(t.Context(), id); !errors.Is(err, message.ErrErased) {
		t.Errorf("opening it gives %v, want ErrErased", err)
	}
	if _, err := s.Compose.Send(t.Context(), ada, "k", compose.Request{Subject: "x", Body: "x", Recipients: to("pu-1")}); !errors.Is(err, compose.ErrKeyReused) {
		t.Errorf("its key gives %v, want ErrKeyReused", err)
	}
}

// Whether and how long a message is held.
func TestHold(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	group := audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}
	later, none, minute := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond), 0, 60
	for name, c := range map[string]struct {
		r    compose.Request
		want events.Hold
		wait time.Duration
	}{
		"to one portal user: not at all": {compose.Request{Recipients: to("pu-1")}, events.HoldNone, 0},
		"to a group: ten seconds":        {compose.Request{Recipients: group}, events.HoldUndo, 10 * time.Second},
		"to a group, at once":            {compose.Request{Recipients: group, UndoSeconds: &none}, events.HoldNone, 0},
		"as long as asked":               {compose.Request{Recipients: to("pu-1"), UndoSeconds: &minute}, events.HoldUndo, time.Minute},
		"until its time, whatever undo":  {compose.Request{Recipients: group, UndoSeconds: &minute, SendAt: &later}, events.HoldScheduled, -1},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.Subject, c.r.Body = "s", "b"
			before := time.Now().Truncate(time.Microsecond)
			a := send(t, s, ada, uuid.NewString(), c.r)
			all := published(t, s)
			got := all[len(all)-1]
			if got.Hold != c.want || !got.ReleaseAt.Equal(a.ReleaseAt) {
				t.Errorf("it is held for %s until %s, and the answer says %s", got.Hold, got.ReleaseAt, a.ReleaseAt)
			}
			if held := a.ReleaseAt.Sub(before); c.wait >= 0 && (held < c.wait || held > c.wait+5*time.Second) {
				t.Errorf("it waits %s, want %s", held, c.wait)
			}
			if c.wait < 0 && !a.ReleaseAt.Equal(later) {
				t.Errorf("it is released at %s, want %s", a.ReleaseAt, later)
			}
		})
	}
}

// The error names all faults of a request with their locations, and nothing is stored or
// published.
func TestWrongRequests(t *testing.T) {
	s := composetest.New(t)
	ada, eve := sender(t, s), sender(t, s)
	s.PortalUser(t, "pu-1")
	theirs, err := s.Compose.Upload(t.Context(), eve, "a.pdf", bytes.NewReader(pdf))
	if err != nil {
		t.Fatal(err)
	}
	past, far := time.Now().Add(-time.Minute), time.Now().Add(400*24*time.Hour)
	long, negative := 601, -1
	many := make([]string, limits.Recipients+1)
	for i := range many {
		many[i] = fmt.Sprint("pu-", i)
	}
	id := uuid.New()
	good := func(change func(*compose.Request)) compose.Request {
		r := compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		r    compose.Request
		want []string
	}{
		"nothing at all":       {compose.Request{}, []string{"body.subject", "body.body", "body.recipients"}},
		"blank":                {good(func(r *compose.Request) { r.Subject, r.Body = " \t", "\n \n" }), []string{"body.subject", "body.subject", "body.body"}},
		"long subject":         {good(func(r *compose.Request) { r.Subject = strings.Repeat("ä", 201) }), []string{"body.subject"}},
		"two lines of subject": {good(func(r *compose.Request) { r.Subject = "a\nb" }), []string{"body.subject"}},
		"long body":            {good(func(r *compose.Request) { r.Body = strings.Repeat("ä", 100_001) }), []string{"body.body"}},
		"broken UTF-8":         {good(func(r *compose.Request) { r.Subject, r.Body = "\xff", "a\xc3(" }), []string{"body.subject", "body.body"}},
		"control characters":   {good(func(r *compose.Request) { r.Body = "a\x00b\x1b" }), []string{"body.body"}},
		"lone carriage return": {good(func(r *compose.Request) { r.Body = "a\rb" }), []string{"body.body"}},
		"unknown portal users": {good(func(r *compose.Request) { r.Recipients = to("pu-1", "pu-2", "pu-3") }),
			[]string{"body.recipients.portal_user_ids[1]", "body.recipients.portal_user_ids[2]"}},
		"no id":           {good(func(r *compose.Request) { r.Recipients = to("pu 1", "\x00") }), []string{"body.recipients.portal_user_ids[0]", "body.recipients.portal_user_ids[1]"}},
		"too many chosen": {good(func(r *compose.Request) { r.Recipients = to(many...) }), []string{"body.recipients.portal_user_ids"}},
		"unknown group":   {good(func(r *compose.Request) { r.Recipients.Groups = []audience.Group{"unknown"} }), []string{"body.recipients.groups[0]"}},
		"empty group": {good(func(r *compose.Request) {
			r.Recipients = audience.Selection{Groups: []audience.Group{audience.DischargedPatients}}
		}), []string{"body.recipients"}},
		"unknown Bcc":          {good(func(r *compose.Request) { r.StaffBcc = []string{ada.ID, "unknown", "\x00"} }), []string{"body.staff_bcc[1]", "body.staff_bcc[2]"}},
		"too many Bcc":         {good(func(r *compose.Request) { r.StaffBcc = many[:51] }), append([]string{"body.staff_bcc"}, places("body.staff_bcc", 51)...)},
		"unknown attachment":   {good(func(r *compose.Request) { r.AttachmentIDs = []uuid.UUID{id} }), []string{"body.attachment_ids[0]"}},
		"another's attachment": {good(func(r *compose.Request) { r.AttachmentIDs = []uuid.UUID{theirs.ID} }), []string{"body.attachment_ids[0]"}},
		"attachment twice":     {good(func(r *compose.Request) { r.AttachmentIDs = []uuid.UUID{id, id} }), []string{"body.attachment_ids[1]", "body.attachment_ids[0]", "body.attachment_ids[1]"}},
		"yesterday":            {good(func(r *compose.Request) { r.SendAt = &past }), []string{"body.send_at"}},
		"in two years":         {good(func(r *compose.Request) { r.SendAt = &far }), []string{"body.send_at"}},
		"long undo":            {good(func(r *compose.Request) { r.UndoSeconds = &long }), []string{"body.undo_seconds"}},
		"negative undo":        {good(func(r *compose.Request) { r.UndoSeconds = &negative }), []string{"body.undo_seconds"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Keeps(t)
			_, err := s.Compose.Send(t.Context(), ada, "key", c.r)
			var invalid *compose.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("it was answered with %v", err)
			}
			var got []string
			for _, f := range invalid.Faults {
				got = append(got, f.Location)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("it was found wrong at (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
				t.Errorf("something was kept:\n%s", diff)
			}
		})
	}
	for _, key := range []string{"", "two words", "ключ", strings.Repeat("k", 256), "k\x00"} {
		var invalid *compose.Invalid
		if _, err := s.Compose.Send(t.Context(), ada, key, good(func(*compose.Request) {})); !errors.As(err, &invalid) {
			t.Errorf("the key %.20q was answered with %v", key, err)
		}
	}
}

func places(list string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s[%d]", list, i)
	}
	return all
}

func TestPermissions(t *testing.T) {
	s := composetest.New(t)
	s.PortalUser(t, "pu-1")
	noPermission, single := s.Staff(t, "No Permission"), s.Staff(t, "Single", policy.SendPortalMessage)
	group := compose.Request{Subject: "s", Body: "b", Recipients: audience.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []audience.Group{audience.AllPortalUsers}}}
	before := s.Keeps(t)
	for name, try := range map[string]func() error{
		"upload without": func() error {
			_, err := s.Compose.Upload(t.Context(), noPermission, "a.pdf", bytes.NewReader(pdf))
			return err
		},
		"send without":    func() error { _, err := s.Compose.Send(t.Context(), noPermission, "k", group); return err },
		"preview without": func() error { _, err := s.Compose.Preview(t.Context(), noPermission, to("pu-1")); return err },
		"send to a group": func() error { _, err := s.Compose.Send(t.Context(), single, "k", group); return err },
		"preview a group": func() error { _, err := s.Compose.Preview(t.Context(), single, group.Recipients); return err },
	} {
		if err := try(); !errors.Is(err, policy.ErrForbidden) {
			t.Errorf("%s gives %v, want ErrForbidden", name, err)
		}
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	if _, err := s.Compose.Preview(t.Context(), single, to("pu-1")); err != nil {
		t.Errorf("a preview of one portal user gives %v", err)
	}
}

// A send with a confirmed preview goes to exactly that audience, or is refused.
func TestAudienceDigest(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	everyone := audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}
	agreed, err := s.Compose.Preview(t.Context(), ada, everyone)
	if err != nil {
		t.Fatal(err)
	}
	r := compose.Request{Subject: "s", Body: "b", Recipients: everyone, AudienceDigest: agreed.Digest}
	first := send(t, s, ada, "k1", r)
	if got := published(t, s)[0].Confirmed; got == nil || got.Count != 1 || got.Digest != agreed.Digest {
		t.Errorf("the record says that the sender agreed to %+v", got)
	}

	s.PortalUser(t, "pu-2")
	before := s.Keeps(t)
	_, err = s.Compose.Send(t.Context(), ada, "k2", r)
	var changed *compose.AudienceChanged
	if !errors.As(err, &changed) || changed.Now.Count != 2 {
		t.Errorf("another audience gives %v", err)
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	if again := send(t, s, ada, "k1", r); again.ID != first.ID || !again.ReleaseAt.Equal(first.ReleaseAt) {
		t.Errorf("a retry of what was sent gives %+v, first it was %+v", again, first)
	}
}

// Concurrent requests with one key make one message; a different request with that key
// is refused.
func TestOneKeyIsOneMessage(t *testing.T) {
	s := composetest.New(t)
	ada, eve := sender(t, s), sender(t, s)
	s.PortalUser(t, "pu-1")
	r := compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")}
	ids := make([]uuid.UUID, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			a, err := s.Compose.Send(t.Context(), ada, "k", r)
			if err != nil {
				t.Error(err)
			}
			ids[i] = a.ID
		})
	}
	all.Wait()
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("one key gave %v", ids)
	}
	if n := len(published(t, s)); n != 1 {
		t.Errorf("one key gave %d events", n)
	}
	for name, change := range map[string]func(*compose.Request){
		"subject": func(r *compose.Request) { r.Subject = "t" },
		"body":    func(r *compose.Request) { r.Body = "c" },
		"undo":    func(r *compose.Request) { n := 0; r.UndoSeconds = &n },
		"invalid": func(r *compose.Request) { r.Subject = "" },
	} {
		other := r
		change(&other)
		if _, err := s.Compose.Send(t.Context(), ada, "k", other); !errors.Is(err, compose.ErrKeyReused) {
			t.Errorf("another %s with the key gives %v, want ErrKeyReused", name, err)
		}
	}
	if theirs := send(t, s, eve, "k", r); theirs.ID == ids[0] {
		t.Error("two senders share a key")
	}
}

// After a crash before or after each commit point of step 2, a retry completes the same
// message, once.
func TestARetryCompletesTheMessage(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	lost := errors.New("the connection was lost")
	for name, fault := range map[string]composetest.Fault{
		"before message.sent is stored":   {Err: lost},
		"after message.sent is stored":    {Err: lost, After: true},
		"the client left before the ack":  {Err: context.Canceled},
		"the client left without the ack": {Err: context.Canceled, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			sentBefore := len(published(t, s))
			r := compose.Request{Subject: name, Body: "b", Recipients: to("pu-1")}
			key := uuid.NewString()
			s.Break(&fault)
			_, err := s.Compose.Send(t.Context(), ada, key, r)
			s.Break(nil)
			if !errors.Is(err, facts.ErrUnavailable) {
				t.Fatalf("the first try gives %v, want ErrUnavailable", err)
			}
			// The directory, the permissions and the time are not checked again.
			s.Exec(t, `UPDATE app.portal_users SET portal_user_id = 'pu-gone' WHERE portal_user_id = 'pu-1'`)
			defer s.Exec(t, `UPDATE app.portal_users SET portal_user_id = 'pu-1' WHERE portal_user_id = 'pu-gone'`)
			s.Clock.Advance(time.Hour)
			first := send(t, s, ada, key, r)
			again := send(t, s, ada, key, r)
			if first.ID != again.ID || !first.ReleaseAt.Equal(again.ReleaseAt) || first.Status != again.Status {
				t.Errorf("two retries give %+v and %+v", first, again)
			}
			all := published(t, s)
			seen := map[string]bool{}
			for _, m := range all[sentBefore:] {
				data, _ := json.Marshal(m)
				seen[string(data)] = true
			}
			if len(seen) != 1 {
				t.Errorf("the tries say %d different things: %v", len(seen), seen)
			}
			var sentAt time.Time
			if err := s.Admin.QueryRow(t.Context(), `SELECT sent_at FROM record.messages WHERE message_id = $1`, first.ID).Scan(&sentAt); err != nil || !sentAt.Equal(first.ReleaseAt) {
				t.Errorf("it was sent at %s, %v, and the claim says %s", sentAt, err, first.ReleaseAt)
			}
			// A published claim is answered without the record.
			s.Break(&fault)
			defer s.Break(nil)
			if known := send(t, s, ada, key, r); known.ID != first.ID {
				t.Errorf("while the record is away, a retry gives %+v", known)
			}
		})
	}
}

// While the record is damaged, nothing is sent, and only operators get the reason.
func TestNothingIsSentOverADamagedRecord(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	s.Exec(t, `UPDATE app.record_check SET ok = false, detail = 'event 17 is missing'`)
	before := s.Keeps(t)
	_, err := s.Compose.Send(t.Context(), ada, "k", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")})
	if !errors.Is(err, facts.ErrUnavailable) {
		t.Errorf("it was answered with %v", err)
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

// Until the key exists that hides patients in events, picked patients are refused, so that no pick is
// lost. The same request is sent once the key exists.
func TestNoPickIsLostWithoutTheKeyOfEntries(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	s.Exec(t, `DELETE FROM app.entry_keys`)
	r := compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1").With("pu-1", []string{"pt-pu-1"})}
	before := s.Keeps(t)
	if _, err := s.Compose.Send(t.Context(), ada, "k", r); problem.Of(err).Kind != problem.RecordUnavailable {
		t.Errorf("without the key, a pick was answered with %v", err)
	}
	if err := s.Compose.Check(t.Context(), ada, r); problem.Of(err).Kind != problem.RecordUnavailable {
		t.Errorf("without the key, the check says %v", err)
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	send(t, s, ada, "k-2", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")})
	if err := entrykey.Ensure(t.Context(), s.Pool, s.Content); err != nil {
		t.Fatal(err)
	}
	send(t, s, ada, "k", r)
	all := published(t, s)
	if len(all) != 2 || all[0].StatesMatter() || !all[1].StatesMatter() || !cmp.Equal(all[1].Recipients.About, map[string][]string{"pu-1": {"pt-pu-1"}}) {
		t.Errorf("the events are %+v", all)
	}
}

// represents makes portal users, each of whom represents the patients of others, and no one else.
func represents(t *testing.T, s *composetest.System, of map[string][]string) {
	t.Helper()
	for id, patients := range of {
		u := s.PortalUser(t, id)
		s.Exec(t, `DELETE FROM app.links WHERE portal_user_no = $1`, u.No)
		s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT $1, patient_no, 'representative' FROM app.patients WHERE patient_id = ANY($2)`, u.No, patients)
	}
}

// In the pages, whom the message concerns must be picked for each portal user with several patients.
func TestWhomItConcernsMustBePicked(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	for _, id := range []string{"mia", "tom"} {
		s.PortalUser(t, id)
	}
	represents(t, s, map[string][]string{"mother": {"pt-mia", "pt-tom"}, "father": {"pt-mia", "pt-tom"}})
	r := compose.Request{Subject: "s", Body: "b", Recipients: to("mother", "father", "mia").With("father", []string{"pt-tom"}), MustPick: true}
	before := s.Keeps(t)
	var invalid *compose.Invalid
	if _, err := s.Compose.Send(t.Context(), ada, "k", r); !errors.As(err, &invalid) || len(invalid.Faults) != 1 ||
		invalid.Faults[0].Location != "body.recipients.about" || !strings.Contains(invalid.Faults[0].Message, "mother") {
		t.Errorf("without a pick for the mother: %v", err)
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	r.Recipients = r.Recipients.With("mother", []string{"pt-mia", "pt-tom"})
	send(t, s, ada, "k", r)
	want := map[string][]string{"mother": {"pt-mia", "pt-tom"}, "father": {"pt-tom"}, "mia": {"pt-mia"}}
	if all := published(t, s); len(all) != 1 || !cmp.Equal(want, all[0].Recipients.About) {
		t.Errorf("the message states %v", all)
	}
}

// The copy of a message that was taken back keeps the picks whose links are in force.
func TestACopyKeepsThePicks(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	for _, id := range []string{"mia", "tom"} {
		s.PortalUser(t, id)
	}
	represents(t, s, map[string][]string{"mother": {"pt-mia", "pt-tom"}, "father": {"pt-mia", "pt-tom"}})
	later := s.Clock.Now().Add(time.Hour)
	sent := send(t, s, ada, "k", compose.Request{Subject: "s", Body: "b", SendAt: &later,
		Recipients: to("mother", "father").With("mother", []string{"pt-mia"}).With("father", []string{"pt-tom"})})
	s.Settle(t)
	if err := s.Compose.Cancel(t.Context(), ada, sent.ID); err != nil {
		t.Fatal(err)
	}
	s.Settle(t)
	s.Exec(t, `UPDATE app.links SET valid_until = '2000-01-01' WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'father')
		AND patient_no = (SELECT patient_no FROM app.patients WHERE patient_id = 'pt-tom')`)
	copied, err := s.Compose.Copy(t.Context(), ada, sent.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(to("mother", "father").With("mother", []string{"pt-mia"}), copied.Recipients); diff != "" {
		t.Errorf("its recipients (-want +got):\n%s", diff)
	}
}

func TestRefusedUploadsLeaveNothing(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	before := s.Keeps(t)
	for name, file := range map[string][]byte{
		"empty": {}, "too large": append(slices.Clone(pdf), make([]byte, limits.AttachmentSize)...), "a program": []byte("\x7fELF\x02\x01\x01"),
	} {
		if _, err := s.Compose.Upload(t.Context(), ada, "a.pdf", bytes.NewReader(file)); err == nil {
			t.Errorf("a file that is %s was kept", name)
		}
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

func TestCancel(t *testing.T) {
	s := composetest.New(t)
	ada, eve := sender(t, s), sender(t, s)
	s.PortalUser(t, "pu-1")
	minute := 60
	held := send(t, s, ada, "held", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1"), UndoSeconds: &minute})
	gone := send(t, s, ada, "gone", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")})
	for name, id := range map[string]uuid.UUID{"another's": held.ID, "no": uuid.New()} {
		if err := s.Compose.Cancel(t.Context(), eve, id); !errors.Is(err, message.ErrNotFound) {
			t.Errorf("cancelling %s message gives %v", name, err)
		}
	}
	for range 2 {
		if err := s.Compose.Cancel(t.Context(), ada, held.ID); err != nil {
			t.Errorf("cancelling a held message gives %v", err)
		}
	}
	if err := s.Compose.Cancel(t.Context(), ada, gone.ID); !errors.Is(err, compose.ErrTooLate) {
		t.Errorf("cancelling a message that is gone gives %v", err)
	}
	if err := s.Compose.Recall(t.Context(), ada, held.ID, "why"); !errors.Is(err, compose.ErrTooLate) {
		t.Errorf("recalling a cancelled message gives %v", err)
	}
}

// If the release is recorded before the cancellation, the release counts, even if the
// message still showed as scheduled when the cancellation was requested.
func TestCancellingAfterTheRelease(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	minute := 60
	a := send(t, s, ada, "k", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1"), UndoSeconds: &minute})
	s.Await(t, a.Seq)
	e, err := events.New("/recorder", "process:recorder", time.Now(), events.MessageReleased{MessageID: a.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Log.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Compose.Cancel(t.Context(), ada, a.ID); !errors.Is(err, compose.ErrTooLate) {
		t.Errorf("it gives %v, want ErrTooLate", err)
	}
}

func TestRecall(t *testing.T) {
	s := composetest.New(t)
	ada, eve := sender(t, s), sender(t, s)
	one := s.PortalUser(t, "pu-1")
	s.PortalUser(t, "pu-2")
	minute := 60
	id := send(t, s, ada, "k", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1", "pu-2")}).ID
	held := send(t, s, ada, "held", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1"), UndoSeconds: &minute}).ID
	s.Deliver(t, id)
	s.Record(t, one.Actor(), events.DeliveryOpened{MessageID: id, PortalUserID: one.ID, PortalUserNo: one.No})
	for _, reason := range []string{"", strings.Repeat("x", 501), "two\nlines", "\xff"} {
		var invalid *compose.Invalid
		if err := s.Compose.Recall(t.Context(), ada, id, reason); !errors.As(err, &invalid) {
			t.Errorf("the reason %.10q gives %v", reason, err)
		}
	}
	if err := s.Compose.Recall(t.Context(), eve, id, "mine now"); !errors.Is(err, message.ErrNotFound) {
		t.Errorf("recalling another's message gives %v", err)
	}
	if err := s.Compose.Recall(t.Context(), ada, held, "too early"); !errors.Is(err, compose.ErrTooLate) {
		t.Errorf("recalling a held message gives %v", err)
	}
	for _, reason := range []string{"the wrong file", "once more"} {
		if err := s.Compose.Recall(t.Context(), ada, id, reason); err != nil {
			t.Errorf("recalling gives %v", err)
		}
	}
	stored, err := s.Log.Get(t.Context(), s.Settle(t))
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Parse(stored.Header, stored.Data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Decode[events.MessageRecalled](e)
	want := events.MessageRecalled{MessageID: id, StaffID: ada.ID, Reason: "the wrong file", Opened: 1}
	if err != nil || got != want {
		t.Errorf("the record says %+v, %v, want %+v", got, err, want)
	}
}
