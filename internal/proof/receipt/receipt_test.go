package receipt_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/directory/audience"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/merkle"
	"postern/internal/proof/receipt"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/proof/salted"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const body = "Dear you,\nplease read."

// issued is a delivery that was alerted, opened, and taken back, and its receipt.
type issued struct {
	*composetest.System
	office  *issuer.Issuer
	rosters *rosterstore.Store
	id      uuid.UUID
	keys    string
	file    []byte
	on      string // the day of the delivery to a group
}

// newOffice is a system that issues receipts.
func newOffice(t *testing.T) *issued {
	t.Helper()
	s := composetest.New(t)
	keys, err := checkpoint.ReadKeyFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	i := &issued{System: s, keys: keys.Verifiers[0], rosters: rosterstore.New(rosterstore.Config{Pool: s.Pool, Content: s.Content})}
	i.office = issuer.New(issuer.Config{Pool: s.Pool, Reader: s.Reader, Rosters: i.rosters, Entries: entrykey.Opens(s.Pool, s.Content),
		Facts: facts.Publisher{Source: "/api", Send: s.Publish, Clock: s.Clock.Now}})
	return i
}

func newIssued(t *testing.T) *issued {
	t.Helper()
	i := newOffice(t)
	s := i.System
	sender := s.Staff(t, "Ada Sender", policy.SendPortalMessage)
	for _, id := range []string{"pu-1", "pu-2", "pu-3"} {
		s.PortalUser(t, id)
	}
	sent, err := s.Compose.Send(t.Context(), sender, "key", compose.Request{Subject: "Your results", Body: body,
		Recipients: audience.Selection{PortalUserIDs: []string{"pu-1", "pu-2", "pu-3"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Deliver(t, sent.ID)
	s.Record(t, "process:test", events.AlertOutcome{MessageID: sent.ID, Chunks: 1, Attempt: 1, Recipients: 3, State: events.AlertAccepted,
		Exceptions: []events.AlertException{{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertFailed, Reason: "no such mailbox"}}, Requests: []events.AlertRequest{}})
	s.Record(t, "portal_user:pu-1", events.DeliveryOpened{MessageID: sent.ID, PortalUserID: "pu-1", PortalUserNo: 1})
	s.Record(t, "portal_user:pu-3", events.DeliveryOpened{MessageID: sent.ID, PortalUserID: "pu-3", PortalUserNo: 3})
	s.Record(t, sender.Actor(), events.MessageRecalled{MessageID: sent.ID, StaffID: sender.ID, Reason: "wrong document", Opened: 2})
	i.id = sent.ID
	i.file = i.issue(t, "pu-1")
	return i
}

func (i *issued) issue(t *testing.T, portalUser string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	r, err := i.office.Issue(ctx, issuer.Request{MessageID: i.id, PortalUserID: portalUser, Actor: "staff:reviewer"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var update = flag.Bool("update", false, "issue testdata's receipt of format 3 anew")

// A receipt that was handed out holds for as long as there is this program. testdata has three
// that were issued in November 2026, with the keys of their clinics, each by the last version
// that issued its format. Those of formats 2 and 3 are of deliveries to a group.
func TestOldReceiptsHold(t *testing.T) {
	t.Parallel()
	if *update {
		i := newIssuedToGroup(t)
		for name, data := range map[string][]byte{"format-3.json": i.file, "format-3.key": []byte(i.keys + "\n")} {
			if err := os.WriteFile(filepath.Join("testdata", name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, format := range []string{"format-1", "format-2", "format-3"} {
		file, key := golden(t, format)
		if r, _, err := receipt.Verify(file, key); err != nil || !strings.HasSuffix(r.Format, format[len(format)-1:]) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// golden reads a receipt of testdata and its key.
func golden(t *testing.T, format string) (file []byte, key string) {
	t.Helper()
	file, err := os.ReadFile("testdata/" + format + ".json")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile("testdata/" + format + ".key")
	if err != nil {
		t.Fatal(err)
	}
	return file, string(keys)
}

// What a receipt says, in order, of one delivery and of no other's doings.
func TestWhatAReceiptSays(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	r, c, err := receipt.Verify(i.file, i.keys)
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != "clinic.example/record" || c.Size < r.Statement[len(r.Statement)-1].Seq {
		t.Errorf("it stands on %+v", c)
	}
	var said []string
	for _, line := range r.Statement {
		said = append(said, line.Text)
	}
	for n, want := range []string{"Ada Sender is made staff", "send the message: body sha256:", "The audience is frozen: 3",
		"Portal user pu-1 has the message in the inbox and can read it, as self of patient pt-pu-1", "The message concerns patient pt-pu-1", "attempt 1: accepted", "opens the message", "take the message back: wrong document"} {
		if n >= len(said) || !strings.Contains(said[n], want) {
			t.Fatalf("line %d should say %q; it says %q", n+1, want, said)
		}
	}
	for _, other := range []string{"pu-2", "pu-3"} {
		if strings.Contains(string(i.file), other) {
			t.Errorf("the receipt of pu-1 names %s", other)
		}
	}
	if strings.Contains(r.Notice, "nobody else") || len(i.file) > longestReceipt {
		t.Errorf("it has %d bytes, and its notice is %q", len(i.file), r.Notice)
	}
	if other, _, err := receipt.Verify(i.issue(t, "pu-2"), i.keys); err != nil || !strings.Contains(other.Statement[5].Text, "failed: no such mailbox") || len(other.Statement) != 7 {
		t.Errorf("of the other it says %+v, %v", other, err)
	}
	// That both were issued is on the record, with what digest.
	i.Settle(t)
	var n int
	if err := i.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'receipt.issued' AND actor = 'staff:reviewer' AND projected`).Scan(&n); err != nil || n != 2 {
		t.Errorf("the record knows of %d receipts, %v", n, err)
	}
}

// A file either equals the sent body or document or it does not. After the content is erased,
// a text can't be compared any more, and the rest is proved as before.
func TestWhetherThatIsWhatWasSent(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	r, _, err := receipt.Verify(i.file, i.keys)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{body: true, body + " ": false, "": false} {
		if got, err := r.IsBody([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, sent, err := r.IsDocument([]byte("x")); sent || err != nil {
		t.Errorf("a document that was never sent: %v, %v", sent, err)
	}
	i.Erase(t, i.id)
	if r, _, err = receipt.Verify(i.issue(t, "pu-1"), i.keys); err != nil {
		t.Fatal(err)
	}
	if _, err := r.IsBody([]byte(body)); err == nil || !strings.Contains(err.Error(), "erased") {
		t.Errorf("after the erasure: %v", err)
	}
}

// Any byte that is changed is found, unless the file says the same without it: a
// space between members.
func TestAChangedByteIsFound(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	rapid.Check(t, func(rt *rapid.T) {
		changed := append([]byte(nil), i.file...)
		changed[rapid.IntRange(0, len(changed)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		r, _, err := receipt.Verify(changed, i.keys)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil || string(again) != string(i.file) {
			rt.Errorf("it holds, and says something else: %v", err)
		}
	})
}

// A forger can compute the digest too, but can't change the data of the events.
func TestForgeries(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	for name, forge := range map[string]func(*receipt.Receipt){
		"another opening time":       func(r *receipt.Receipt) { r.Statement[5].Time = r.Statement[5].Time.Add(time.Hour) },
		"a line taken out":           func(r *receipt.Receipt) { r.Statement = r.Statement[:6] },
		"an event taken for another": func(r *receipt.Receipt) { r.Events[3].Seq++ },
		"a body changed": func(r *receipt.Receipt) {
			r.Events[3].Data = strings.Replace(r.Events[3].Data, `"count":3`, `"count":2`, 1)
		},
		"a time changed":            func(r *receipt.Receipt) { r.Events[5].Header["ce-time"][0] = "2020-01-01T00:00:00.000000Z" },
		"a header added":            func(r *receipt.Receipt) { r.Events[5].Header["Nats-Note"] = []string{"x"} },
		"the notice softened":       func(r *receipt.Receipt) { r.Notice = "For everyone." },
		"another portal user":       func(r *receipt.Receipt) { r.PortalUserID = "pu-3" },
		"another message":           func(r *receipt.Receipt) { r.MessageID = uuid.New() },
		"a shorter proof":           func(r *receipt.Receipt) { r.Events[0].Path = r.Events[0].Path[1:] },
		"a hash changed":            func(r *receipt.Receipt) { r.Hashes[0][0] ^= 1 },
		"no such hash":              func(r *receipt.Receipt) { r.Events[0].Path[0] = len(r.Hashes) },
		"a hash before the first":   func(r *receipt.Receipt) { r.Events[0].Path[0] = -1 },
		"a proof of an old format":  func(r *receipt.Receipt) { r.Events[0].Proof = r.Hashes[:1] },
		"another format":            func(r *receipt.Receipt) { r.Format = "postern receipt 2" },
		"no delivery":               func(r *receipt.Receipt) { r.Events = r.Events[:3]; r.Statement = r.Statement[:3] },
		"another salt":              func(r *receipt.Receipt) { r.Content.Salt[0] ^= 1 },
		"an entry left out":         func(r *receipt.Receipt) { r.Events[4].Entries = nil },
		"an entry twice":            func(r *receipt.Receipt) { r.Events[4].Entries = append(r.Events[4].Entries, r.Events[4].Entries[0]) },
		"another entry":             func(r *receipt.Receipt) { r.Events[4].Entries[0].Entry = `{"portal_user_no":1,"state":"failed"}` },
		"an entry's salt":           func(r *receipt.Receipt) { r.Events[4].Entries[0].Salt[0] ^= 1 },
		"an entry's place":          func(r *receipt.Receipt) { r.Events[4].Entries[0].At = 1 },
		"an entry's path":           func(r *receipt.Receipt) { r.Events[4].Entries[0].Path[0][0] ^= 1 },
		"an entry of another event": func(r *receipt.Receipt) { r.Events[4].Entries = r.Events[3].Entries },
		"another's entries": func(r *receipt.Receipt) {
			theirs, err := receipt.Parse(i.issue(t, "pu-3"))
			if err != nil {
				t.Fatal(err)
			}
			for e := range r.Events {
				r.Events[e].Entries = theirs.Events[e].Entries
			}
		},
		"an event twice": func(r *receipt.Receipt) { r.Events = append(r.Events, r.Events[6]) },
	} {
		r, err := receipt.Parse(i.file)
		if err != nil {
			t.Fatal(err)
		}
		forge(r)
		file, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := receipt.Verify(file, i.keys); !errors.Is(err, receipt.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnotherKey(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	file := filepath.Join(t.TempDir(), "key")
	if _, err := checkpoint.CreateKeyFile(file, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	other, err := checkpoint.ReadKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receipt.Verify(i.file, other.Verifiers[0]); !errors.Is(err, receipt.ErrWrong) {
		t.Errorf("it says %v", err)
	}
	// After a rotation both keys verify it, and the new one alone does not.
	renewed, err := checkpoint.Rotate(i.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receipt.Verify(i.file, strings.Join(renewed.Verifiers, "\n")); err != nil {
		t.Error(err)
	}
	if _, _, err := receipt.Verify(i.file, renewed.Verifiers[0]); err == nil {
		t.Error("a key verifies what it never signed")
	}
}

func TestWhatHasNoReceipt(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	i.PortalUser(t, "pu-4") // in the block of the others
	for name, q := range map[string]issuer.Request{
		"another message":        {MessageID: uuid.New(), PortalUserID: "pu-1"},
		"another portal user":    {MessageID: i.id, PortalUserID: "pu-4"},
		"an unknown portal user": {MessageID: i.id, PortalUserID: "pu-9"},
	} {
		if _, err := i.office.Issue(t.Context(), q); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Rewritten by another tool, with other spaces and in another order, it still holds.
	var anything any
	if err := json.Unmarshal(i.file, &anything); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(anything)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receipt.Verify(compact, i.keys); err != nil {
		t.Error(err)
	}
}

// The salts of an event's entries come from its seed. They never repeat, and neither they nor the
// seed stand anywhere in the clear: not in an event, and not in any table.
func TestSaltsStandNowhereInTheClear(t *testing.T) {
	t.Parallel()
	i := newIssuedToGroup(t)
	rows, err := i.Admin.Query(t.Context(), `SELECT seq, stored FROM record.events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	keys := entrykey.Opens(i.Pool, i.Content)
	var everything strings.Builder
	var secrets []salted.Salt
	var seq int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		event, err := merkle.Unpack(uint64(seq), stored)
		if err != nil {
			return err
		}
		everything.Write(event.Data)
		e, err := events.Parse(event.Header, event.Data)
		if err != nil {
			return err
		}
		body, err := events.DecodeHiding(e)
		if err != nil || body == nil || body.HiddenBy().Seed == nil {
			return err
		}
		seed, err := keys.Open(t.Context(), body.HiddenBy().Seed)
		if err != nil {
			return err
		}
		for at := range body.HiddenBy().Entries + 1 {
			secrets = append(secrets, seed.Salt(at))
		}
		return nil
	})
	if err != nil || len(secrets) < 3 {
		t.Fatal(len(secrets), err)
	}
	for table := range i.Keeps(t).Tables {
		var all string
		if err := i.Admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(t::text, E'\n'), '') FROM `+table+` t`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		everything.WriteString(all)
	}
	seen := map[salted.Salt]bool{}
	for _, salt := range secrets {
		if seen[salt] {
			t.Error("a salt repeats")
		}
		seen[salt] = true
		for _, form := range []string{hex.EncodeToString(salt[:]), unpadded(salt[:]), string(salt[:])} {
			if strings.Contains(everything.String(), form) {
				t.Errorf("a salt stands in the clear")
			}
		}
	}
}
