package receipt_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/events"
	"postern/internal/proof/receipt"
)

// toGroup is a message to discharged patients and to one portal user by id, on a record in
// memory: a full chunk of four blocks.
type toGroup struct {
	*written
	message uuid.UUID
	chosen  int32 // chosen by id, in no group
	blocks  []*citedRoster
	sent    events.MessageSent
	seqs    []uint64
}

func (g *toGroup) selection() events.Selection { return g.sent.Recipients }

// delivery is the body of the delivery.
func (g *toGroup) delivery(t testing.TB) events.DeliveriesByBlock {
	b := events.DeliveriesByBlock{MessageID: g.message, Day: day, Groups: g.selection().Groups, Selection: g.selection().Digest(), Nonce: events.NewNonce()}
	for _, r := range g.blocks {
		var members []int32
		if err := r.Visit(func(p *roster.Person) bool {
			if p.No%2 == 0 || p.No == g.chosen {
				members = append(members, p.No)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		b.Blocks = append(b.Blocks, r.cited(members...))
	}
	return b
}

// newToGroup writes the message, among some thousand other events, with the delivery that
// change makes of the right one.
func newToGroup(t testing.TB, change func(*events.DeliveriesByBlock)) *toGroup {
	t.Helper()
	g := &toGroup{written: newWritten(t), message: uuid.Must(uuid.NewV7()), chosen: 301}
	for _, no := range []block.No{0, 1, 2, 3} {
		g.blocks = append(g.blocks, rosterOf(t, no))
	}
	salted := "sha256:" + strings.Repeat("0", 64)
	g.sent = events.MessageSent{MessageID: g.message, SenderID: uuid.NewString(), SubjectDigest: salted, BodyDigest: salted, Attachments: []events.AttachmentFact{},
		StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: day, Recipients: events.Selection{PortalUserIDs: []string{uuidOf(g.chosen)}, Groups: []string{"discharged_patients"}}}
	delivery := g.delivery(t)
	if change != nil {
		change(&delivery)
	}
	others := func(n int) {
		for range n {
			g.add(t, events.DeliveryOpened{MessageID: uuid.New(), PortalUserID: "another", PortalUserNo: 7})
		}
	}
	others(2000)
	g.seqs = append(g.seqs, g.add(t, g.sent))
	g.seqs = append(g.seqs, g.add(t, events.AudienceResolved{MessageID: g.message, Count: 501, Chunks: 1, ManifestDigest: salted, Included: map[string]int{}, Excluded: map[string]int{}}))
	g.seqs = append(g.seqs, g.add(t, delivery))
	others(2000)
	g.seqs = append(g.seqs, g.add(t, events.AlertOutcome{MessageID: g.message, Chunks: 1, Attempt: 1, Recipients: 501, State: events.AlertAccepted,
		Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}}))
	return g
}

// draft is the receipt of a portal user, unfinished.
func (g *toGroup) draft(t testing.TB, no int32) *receipt.Receipt {
	t.Helper()
	b, _ := block.Of(no)
	i := slices.IndexFunc(g.blocks, func(c *citedRoster) bool { return c.Block == b })
	return g.receipt(t, g.message, uuidOf(no), g.blocks[i].entry(t, no), g.seqs...)
}

// checked finishes a receipt, as its issuer or a forger can, and verifies its file.
func (g *toGroup) checked(t testing.TB, r *receipt.Receipt) ([]byte, error) {
	t.Helper()
	if err := r.Complete(); err != nil {
		return nil, err
	}
	file, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = receipt.Verify(file, g.keys.Verifiers[0])
	if err != nil && !errors.Is(err, receipt.ErrWrong) {
		t.Errorf("the error is no fault of the receipt: %v", err)
	}
	return file, err
}

func textOf(r *receipt.Receipt) string {
	var all strings.Builder
	for _, line := range r.Statement {
		fmt.Fprintln(&all, line.Text)
	}
	return all.String()
}

// 20 kB is what the contract allows.
const longestReceipt = 20_480

// A receipt of a delivery to a group says why the portal user got the message, is short, and
// names none of the other recipients.
func TestAReceiptOfADeliveryToAGroup(t *testing.T) {
	t.Parallel()
	g := newToGroup(t, nil)
	for _, no := range []int32{2, 302, 750} {
		r := g.draft(t, no)
		file, err := g.checked(t, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(file) > longestReceipt {
			t.Errorf("it has %d bytes", len(file))
		}
		if said := textOf(r); !strings.Contains(said, "as self of patient "+uuidOf(no)) || !strings.Contains(said, "Why: discharged_patient on 2026-11-29, by the roster") {
			t.Errorf("it says %s", said)
		}
		for _, other := range g.blocks {
			for place := range block.Size {
				if n := other.Block.At(place); n > 0 && n != no && n != g.chosen && bytes.Contains(file, []byte(uuidOf(n))) {
					t.Errorf("the receipt of %d names %d", no, n)
				}
			}
		}
	}
}

// A portal user who was chosen by id has a receipt that says so. A portal user who was neither chosen nor
// is in a group has none, although the roster says who they are.
func TestWhoWasChosenById(t *testing.T) {
	t.Parallel()
	g := newToGroup(t, nil)
	r := g.draft(t, g.chosen)
	if _, err := g.checked(t, r); err != nil || !strings.Contains(textOf(r), "Why: chosen by id") {
		t.Errorf("%v, %s", err, textOf(r))
	}
	if _, err := g.checked(t, g.draft(t, 303)); err == nil || !strings.Contains(err.Error(), "in none of the groups, and was not chosen") {
		t.Errorf("of one in neither it says %v", err)
	}
}

// No part of the proof of an entry, and none of the event that cites its roster, can be changed
// or exchanged, even if all that can be derived from it is made anew.
func TestForgedGroupDeliveries(t *testing.T) {
	t.Parallel()
	g := newToGroup(t, nil)
	another := rosterOf(t, 0) // says the same, under another secret
	replaced := func(old, by string) func(*receipt.Receipt) {
		return func(r *receipt.Receipt) {
			if !strings.Contains(r.Events[2].Data, old) {
				t.Errorf("the event does not have %s", old)
			}
			r.Events[2].Data = strings.Replace(r.Events[2].Data, old, by, 1)
		}
	}
	inData := func(d roster.Digest) string { return unpadded(d[:]) }
	for name, forge := range map[string]func(*receipt.Receipt){
		"another salt":               func(r *receipt.Receipt) { r.Entry.Salt[0] ^= 1 },
		"a shorter salt":             func(r *receipt.Receipt) { r.Entry.Salt = r.Entry.Salt[1:] },
		"other facts":                func(r *receipt.Receipt) { r.Entry.Facts[len(r.Entry.Facts)-1] ^= 2 },
		"other names":                func(r *receipt.Receipt) { r.Entry.Names[len(r.Entry.Names)-2] ^= 1 },
		"another path":               func(r *receipt.Receipt) { r.Entry.Path[3][0] ^= 1 },
		"a shorter path":             func(r *receipt.Receipt) { r.Entry.Path = r.Entry.Path[1:] },
		"a longer path":              func(r *receipt.Receipt) { r.Entry.Path = append(r.Entry.Path, r.Entry.Path[0]) },
		"another block":              func(r *receipt.Receipt) { r.Entry.Block = 1 },
		"a block that is not cited":  func(r *receipt.Receipt) { r.Entry.Block = 7 },
		"no entry":                   func(r *receipt.Receipt) { r.Entry = nil },
		"another person's entry":     func(r *receipt.Receipt) { r.Entry = g.blocks[0].entry(t, 4) },
		"another portal user":        func(r *receipt.Receipt) { r.PortalUserID = uuidOf(4) },
		"another message":            func(r *receipt.Receipt) { r.MessageID = uuid.New() },
		"an entry of another roster": func(r *receipt.Receipt) { r.Entry = another.entry(t, 2) },
		"another roster, cited": func(r *receipt.Receipt) {
			r.Entry = another.entry(t, 2)
			replaced(inData(g.blocks[0].root), inData(another.root))(r)
		},
		"another day":       replaced(`"day":"2026-11-29"`, `"day":"2026-11-28"`),
		"other groups":      replaced(`"discharged_patients"`, `"all_portal_users"`),
		"another selection": replaced(g.selection().Digest(), events.Selection{Groups: []string{"discharged_patients"}}.Digest()),
		"another chunk":     replaced(`"chunk":0`, `"chunk":1`),
		"another private digest": func(r *receipt.Receipt) {
			digest := *r.Events[2].PrivateDigest
			digest[0] ^= 1
			r.Events[2].PrivateDigest = &digest
		},
		"no private digest":       func(r *receipt.Receipt) { r.Events[2].PrivateDigest = nil },
		"a private digest more":   func(r *receipt.Receipt) { r.Events[1].PrivateDigest = r.Events[2].PrivateDigest },
		"no version of the leaf":  func(r *receipt.Receipt) { delete(r.Events[2].Header, "ce-leaf") },
		"the event left out":      func(r *receipt.Receipt) { r.Events = slices.Delete(r.Events, 2, 3) },
		"the sending left out":    func(r *receipt.Receipt) { r.Events = r.Events[1:] },
		"another event's proof":   func(r *receipt.Receipt) { r.Events[2].Path = r.Events[1].Path },
		"an entry for no purpose": func(r *receipt.Receipt) { r.Events = append(r.Events[:2], r.Events[3:]...) },
	} {
		r := g.draft(t, 2)
		forge(r)
		if _, err := g.checked(t, r); err == nil {
			t.Errorf("%s: it holds", name)
		}
	}
}

// Even the owner of the record, who can sign what they like, can't show a delivery that does not
// agree with the message.
func TestDeliveriesThatDoNotAgreeWithTheMessage(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*events.DeliveriesByBlock){
		"other groups":      func(b *events.DeliveriesByBlock) { b.Groups = []string{"all_portal_users"} },
		"an unknown group":  func(b *events.DeliveriesByBlock) { b.Groups = []string{"everybody"} },
		"no groups":         func(b *events.DeliveriesByBlock) { b.Groups = nil },
		"another selection": func(b *events.DeliveriesByBlock) { b.Selection = events.Selection{}.Digest() },
		"another message":   func(b *events.DeliveriesByBlock) { b.MessageID = uuid.New() },
		"a day before the link began": func(b *events.DeliveriesByBlock) {
			b.Day = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)
		},
		"another block's roster": func(b *events.DeliveriesByBlock) { b.Blocks[0].Roster = b.Blocks[1].Roster },
		"the block left out":     func(b *events.DeliveriesByBlock) { b.Blocks = b.Blocks[1:] },
	} {
		g := newToGroup(t, change)
		if _, err := g.checked(t, g.draft(t, 2)); err == nil {
			t.Errorf("%s: it holds", name)
		}
	}
}

// In the system, from the send to the file: the receipt of each recipient of a message to a
// group names that recipient alone.
func TestAReceiptIsIssuedForADeliveryToAGroup(t *testing.T) {
	t.Parallel()
	i := newIssuedToGroup(t)
	for _, id := range groupMembers {
		file := i.issue(t, id)
		r, _, err := receipt.Verify(file, i.keys)
		if err != nil {
			t.Fatal(err)
		}
		if len(file) > longestReceipt || r.Entry == nil || !strings.Contains(textOf(r), "Why: active_patient on "+i.on) ||
			!strings.Contains(textOf(r), ", on "+i.on+" from the state sha256:") {
			t.Errorf("it has %d bytes, and says %s", len(file), textOf(r))
		}
		if strings.Contains(r.Notice, "nobody else") {
			t.Errorf("its notice is %s", r.Notice)
		}
		for _, other := range append([]string{"stranger"}, groupMembers...) {
			if other != id && bytes.Contains(file, []byte(other)) {
				t.Errorf("the receipt of %s names %s", id, other)
			}
		}
	}
}

var groupMembers = []string{"member-a", "member-b", "member-c"}

// newIssuedToGroup is a message to a group that was alerted, opened and recalled, and the
// receipt of one delivery.
func newIssuedToGroup(t *testing.T) *issued {
	t.Helper()
	i := newOffice(t)
	sender := i.Staff(t, "Ada Sender", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	for _, id := range groupMembers {
		i.PortalUser(t, id)
	}
	i.PortalUser(t, "stranger")
	i.Exec(t, `UPDATE app.patients SET status = 'discharged' WHERE patient_id = 'pt-stranger'`)
	sent, err := i.Compose.Send(t.Context(), sender, "key", compose.Request{Subject: "The clinic is closed", Body: body, UndoSeconds: new(int),
		Recipients: audience.Selection{Groups: []audience.Group{audience.ActivePatients}}})
	if err != nil {
		t.Fatal(err)
	}
	i.id = sent.ID
	i.Deliver(t, i.id)
	i.on = field.Time(field.Day(i.Clock.Now())).Format(time.DateOnly)
	i.Record(t, "process:test", events.AlertOutcome{MessageID: sent.ID, Chunks: 1, Attempt: 1, Recipients: 3, State: events.AlertAccepted,
		Exceptions: []events.AlertException{{PortalUserID: "member-b", PortalUserNo: 2, State: events.AlertFailed, Reason: "no such mailbox"}}, Requests: []events.AlertRequest{}})
	i.Record(t, "portal_user:member-a", events.DeliveryOpened{MessageID: sent.ID, PortalUserID: "member-a", PortalUserNo: 1})
	i.Record(t, sender.Actor(), events.MessageRecalled{MessageID: sent.ID, StaffID: sender.ID, Reason: "wrong day", Opened: 1})
	i.file = i.issue(t, "member-a")
	return i
}
