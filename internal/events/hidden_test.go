package events_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/events/eventstest"
	"postern/internal/proof/salted"
)

// hiding gives bodies that name several people, each person once.
var hiding = rapid.Custom(func(t *rapid.T) events.Hiding {
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9._-]{8,20}`), 2, 9, rapid.ID[string]).Draw(t, "ids")
	message := uuid.New()
	states := rapid.SampledFrom([]events.AlertState{events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown})
	reason := rapid.SampledFrom([]string{"", "no such mailbox", "<refused> & \"quoted\"", "a byte that is no letter: \xff", "private"})
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		return events.MessageSent{MessageID: message, SenderID: "s1", Attachments: []events.AttachmentFact{}, Hold: events.HoldNone, StaffBcc: []string{"copied-staff"},
			Recipients: events.Selection{PortalUserIDs: ids, Groups: []string{"all_portal_users"}, About: rapid.SampledFrom([]map[string][]string{nil, {}, {ids[0]: {"pt-secret"}}}).Draw(t, "about")},
			Confirmed:  &events.Confirmed{Count: 9, Digest: "sha256:of-the-preview"}}
	case 1:
		b := events.DeliveriesCreated{MessageID: message, Chunk: rapid.IntRange(0, 3).Draw(t, "chunk")}
		for i, id := range ids {
			b.Recipients = append(b.Recipients, events.Recipient{PortalUserID: id, PortalUserNo: int32(i + 1),
				Links: []events.Link{{PatientID: "pt-" + id, PatientNo: int32(i + 7), Relationship: "self"}}})
		}
		return b
	case 2:
		b := events.AlertOutcome{MessageID: message, Chunks: 1, Attempt: 1, Recipients: len(ids), State: states.Draw(t, "state"), Reason: reason.Draw(t, "reason"), Requests: []events.AlertRequest{}}
		replay := rapid.Bool().Draw(t, "replay")
		for i, id := range ids {
			b.Nos = append(b.Nos, int32(i+1))
			if replay || i == 0 || rapid.Bool().Draw(t, "otherwise") {
				b.Exceptions = append(b.Exceptions, events.AlertException{PortalUserID: id, PortalUserNo: int32(i + 1), State: states.Draw(t, "its state"), Reason: reason.Draw(t, "its reason")})
			}
		}
		if replay {
			b.ReplayID, b.Part = &message, 3
		}
		return b
	case 3:
		b := events.AlertsReported{MessageID: message}
		for i, id := range ids {
			if i%3 == 0 {
				b.Requests = append(b.Requests, events.ReportedRequest{RequestID: uuid.New(), Chunk: i, Attempt: 1})
			}
			b.Requests[i/3].Reports = append(b.Requests[i/3].Reports, events.Report{ID: uuid.NewString(), Type: "bounce", At: time.Unix(int64(i), 0).UTC(), Reason: reason.Draw(t, "reason"),
				PortalUserID: id, PortalUserNo: int32(i + 1), Dead: []events.DeadAddress{{PortalUserID: id, PortalUserNo: int32(i + 1)}, {PortalUserID: "sharing-" + id, PortalUserNo: 99}}})
		}
		return b
	}
	b := events.AddressReported{ID: uuid.NewString(), Type: "bounce", At: time.Unix(7, 0).UTC(), Reason: reason.Draw(t, "reason")}
	for i, id := range ids {
		b.Dead = append(b.Dead, events.DeadAddress{PortalUserID: id, PortalUserNo: int32(i + 1)})
	}
	return b
})

func keyPair(t testing.TB) *salted.PrivateKey {
	t.Helper()
	key, err := salted.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sent is the event of a body that hides people.
func sent(t interface{ Fatal(...any) }, body events.Body, key *salted.PrivateKey) events.Event {
	hidden, err := events.Hide(body, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.New("/test", "process:test", time.Unix(1, 0), hidden)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The body of an event that hides people is read as it was written, with its entries, whose root
// and number its public part has.
func TestWhomAnEventHidesIsReadBack(t *testing.T) {
	t.Parallel()
	key := keyPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		body := hiding.Draw(rt, "body")
		e := sent(rt, body, key)
		parsed, err := events.Parse(e.Header(), e.Data)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := events.DecodeHiding(parsed)
		if err != nil {
			rt.Fatal(err)
		}
		hidden := got.HiddenBy()
		// JSON has no bytes that are no letters.
		letters := cmp.Transformer("letters", func(s string) string { return string([]rune(s)) })
		ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Hidden" || p.Last().String() == ".Nos" }, cmp.Ignore())
		onlyText := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Reason" }, letters)
		if diff := cmp.Diff(any(body), any(got), ignore, onlyText, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("(-written +read):\n%s", diff)
		}
		if o, ok := got.(events.AlertOutcome); ok {
			o.Nos = body.(events.AlertOutcome).Nos
			got = o
		}
		entries, err := got.Entries()
		if err != nil || len(entries) != hidden.Entries {
			rt.Fatalf("%d entries, and the public part says %d: %v", len(entries), hidden.Entries, err)
		}
		seed, err := key.Open(hidden.Seed)
		if err != nil || seed.Root(entries) != hidden.Root {
			rt.Errorf("the root of its entries is another one (%v)", err)
		}
		for _, e := range entries {
			if !json.Valid(e) {
				rt.Errorf("the entry %s is no JSON", e)
			}
		}
	})
}

// The public part of an event, which a receipt shows, has no portal user, no staff who got a copy,
// and no digest by which they could be guessed.
func TestThePublicPartNamesNobody(t *testing.T) {
	t.Parallel()
	key := keyPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		body := hiding.Draw(rt, "body")
		e := sent(rt, body, key)
		public, private := events.Parts(e.Header(), e.Data)
		whole, err := events.New("/test", "process:test", e.Time, body)
		if err != nil {
			rt.Fatal(err)
		}
		var said any
		if err := json.Unmarshal(whole.Data, &said); err != nil {
			rt.Fatal(err)
		}
		for _, name := range namesIn(said) {
			if bytes.Contains(public, []byte(name)) {
				rt.Errorf("the public part has %s: %s", name, public)
			}
			if !bytes.Contains(private, []byte(name)) {
				rt.Errorf("the private part lacks %s: %s", name, private)
			}
		}
		// The same body again has another digest and other salts.
		if again := sent(rt, body, key); bytes.Equal(again.Data, e.Data) {
			rt.Error("the same body has the same private part twice")
		}
	})
}

// namesIn returns the texts of a body that name people, and the digest that was confirmed.
func namesIn(v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if text, ok := member.(string); ok && (name == "portal_user_id" || name == "digest") {
				all = append(all, text)
			}
			if name == "portal_user_ids" || name == "staff_bcc" || name == "recipients" || name == "exceptions" || name == "dead_address_of" || name == "requests" || name == "confirmed" || name == "reports" {
				all = append(all, namesIn(member)...)
			}
		}
	case []any:
		for _, member := range v {
			if text, ok := member.(string); ok && text != "self" {
				all = append(all, text)
			}
			all = append(all, namesIn(member)...)
		}
	}
	return all
}

// A receipt's reader gets the one entry that is shown, and refuses one that is not of the event.
func TestWhatAReceiptShowsOfAnEvent(t *testing.T) {
	t.Parallel()
	key := keyPair(t)
	message := uuid.New()
	body := events.MessageSent{MessageID: message, Recipients: events.Selection{PortalUserIDs: []string{"pu-1", "pu-2", "pu-3"}, Groups: []string{}}, Hold: events.HoldNone}
	e := sent(t, body, key)
	whole, err := events.Decode[events.MessageSent](e)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Open(whole.Hidden.Seed)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := whole.Entries()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := events.Parts(e.Header(), e.Data)
	e.Data = public
	second, third := seed.Prove(entries, 1), seed.Prove(entries, 2)
	shown, err := events.DecodeShown[events.MessageSent](e, []salted.Proof{second})
	if err != nil || !reflect.DeepEqual(shown.Recipients.PortalUserIDs, []string{"pu-2"}) || shown.Chosen() != 3 || shown.SelectionDigest() != whole.SelectionDigest() {
		t.Errorf("it shows %+v, %v", shown, err)
	}
	forged := second
	forged.Entry = `"pu-9"`
	for name, proofs := range map[string][]salted.Proof{
		"another entry": {forged}, "the same twice": {second, second}, "out of order": {third, second},
	} {
		if _, err := events.DecodeShown[events.MessageSent](e, proofs); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}

// Without a key, and for a body that names no one or one person, nothing changes.
func TestABodyThatHidesNobody(t *testing.T) {
	t.Parallel()
	for _, x := range eventstest.Examples() {
		if _, names := x.Body.(events.Hiding); names {
			continue
		}
		if got, err := events.Hide(x.Body, keyPair(t).Public()); err != nil || !reflect.DeepEqual(got, x.Body) {
			t.Errorf("%s: %+v, %v", x.Body.EventType(), got, err)
		}
	}
	body := events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"pu-1"}}}
	if got, err := events.Hide(body, nil); err != nil || !reflect.DeepEqual(got, events.Body(body)) {
		t.Errorf("without a key: %+v, %v", got, err)
	}
	// An outcome without exceptions is the same for all, and needs no salts.
	same, err := events.Hide(events.AlertOutcome{MessageID: uuid.New(), Recipients: 1000, State: events.AlertAccepted, Exceptions: []events.AlertException{}}, keyPair(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	if h := same.(events.AlertOutcome).Hidden; h == nil || h.Entries != 0 || h.Seed != nil {
		t.Errorf("it hides by %+v", h)
	}
	// One with exceptions can't be hidden without the numbers of all.
	if _, err := events.Hide(events.AlertOutcome{Recipients: 2, State: events.AlertAccepted, Exceptions: []events.AlertException{{PortalUserNo: 1}}, Nos: []int32{1}}, keyPair(t).Public()); err == nil {
		t.Error("an outcome is hidden although its recipients are not known")
	}
}

// The digest of a selection can't be guessed from its public part, and differs for each message.
func TestTheDigestOfHiddenRecipientsCannotBeGuessed(t *testing.T) {
	t.Parallel()
	key := keyPair(t)
	digests := map[string]bool{}
	for range 3 {
		hidden, err := events.Hide(events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{"active_patients"}}}, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		digests[hidden.(events.MessageSent).SelectionDigest()] = true
	}
	if len(digests) != 3 {
		t.Error("the same recipients have the same digest")
	}
}

func BenchmarkHideAThousandOutcomes(b *testing.B) {
	key := keyPair(b).Public()
	o := events.AlertOutcome{MessageID: uuid.New(), Recipients: 1000, State: events.AlertAccepted, Exceptions: []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 7, State: events.AlertSkipped, Reason: "no e-mail address"}}}
	for no := range int32(1000) {
		o.Nos = append(o.Nos, no+1)
	}
	for b.Loop() {
		if _, err := events.Hide(o, key); err != nil {
			b.Fatal(err)
		}
	}
}
