package retention_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob/memblob"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/directory/audience"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/record/retention"
	"postern/internal/recorder/rebuild"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const why = "It went to the wrong person."

// clinic is a system with a sent message and two staff members who may erase.
type clinic struct {
	*composetest.System
	office   *retention.Retention
	message  uuid.UUID
	document uuid.UUID
	ann, ben policy.Subject
}

func open(t *testing.T) *clinic {
	t.Helper()
	s := composetest.New(t)
	c := &clinic{System: s, office: retention.New(retention.Config{Pool: s.Pool, Content: s.Content, Facts: facts.Publisher{Source: "/api", Send: s.Publish, Reached: s.Position.Wait, Clock: s.Clock.Now}})}
	c.ann, c.ben = s.Staff(t, "Ann", policy.EraseMessageContent), s.Staff(t, "Ben", policy.EraseMessageContent)
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
	s.Exec(t, `INSERT INTO app.manifest_keys (message_id, wrapped_key) VALUES ($1, 'wrapped')`, sent.ID)
	if _, err := s.Content.StoreKeys(t.Context(), content.ManifestKeysOf(sent.ID), sent.ID, content.Keys{WrappedKey: []byte("wrapped")}); err != nil {
		t.Fatal(err)
	}
	s.Deliver(t, sent.ID)
	return c
}

func (c *clinic) ask(t *testing.T, who policy.Subject) retention.Erasure {
	t.Helper()
	e, err := c.office.Request(t.Context(), who.Actor(), c.message, why)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// copies counts the copies of keys in the content store.
func (c *clinic) copies(t *testing.T) (n int) {
	t.Helper()
	for _, name := range []content.Name{content.KeysOf(c.message), content.ManifestKeysOf(c.message)} {
		if _, err := c.Content.FindKeys(t.Context(), name); err == nil {
			n++
		} else if !errors.Is(err, content.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return n
}

// keys counts the keys in Postgres that open content of the message.
func (c *clinic) keys(t *testing.T) (n int) {
	t.Helper()
	err := c.Admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.message_content WHERE message_id = $1)
		+ (SELECT count(*) FROM app.attachments WHERE attachment_id = $2) + (SELECT count(*) FROM app.manifest_keys WHERE message_id = $1)`,
		c.message, c.document).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// holds checks that the tables equal a rebuild from the record.
func (c *clinic) holds(t *testing.T) {
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

// One administrator requests and another approves: the content is destroyed, and the events
// stay.
func TestTwoPeopleErase(t *testing.T) {
	t.Parallel()
	c := open(t)
	asked := c.ask(t, c.ann)
	if c.keys(t) != 3 || c.copies(t) != 2 {
		t.Fatal("the request alone destroyed keys")
	}
	done, err := c.office.Approve(t.Context(), c.ben, asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	if done.Status != "erased" || *done.SettledBy != c.ben.Actor() || done.Reason != why || !done.Early {
		t.Errorf("it is %+v", done)
	}
	if n, copies := c.keys(t), c.copies(t); n != 0 || copies != 0 {
		t.Errorf("%d keys and %d copies are left", n, copies)
	}
	if _, _, err := c.Reader.Open(t.Context(), c.message); !errors.Is(err, message.ErrErased) {
		t.Errorf("opening it: %v", err)
	}
	if _, _, err := c.Reader.OpenAttachment(t.Context(), c.message, c.document); !errors.Is(err, message.ErrErased) {
		t.Errorf("opening its document: %v", err)
	}
	c.holds(t)
}

// An approval is refused if it would not need two people.
func TestAnErasureNeedsTwoPeople(t *testing.T) {
	t.Parallel()
	c := open(t)
	asked := c.ask(t, c.ann)
	late := c.Staff(t, "Late", policy.EraseMessageContent)
	for name, try := range map[string]struct {
		who  policy.Subject
		want error
	}{
		"who asked":                          {c.ann, retention.ErrOwn},
		"manages staff only":                 {c.Staff(t, "Ada", policy.ManageStaff), policy.ErrForbidden},
		"without the permission":             {c.Staff(t, "Rae", policy.ReadRecord, policy.SendPortalMessage), policy.ErrForbidden},
		"the permission since the request":   {late, retention.ErrTooNew},
		"no longer the permission":           {policy.Subject{Realm: policy.RealmStaff, ID: "gone", Permissions: []policy.Permission{policy.EraseMessageContent}}, retention.ErrTooNew},
		"a portal user with all permissions": {policy.Subject{Realm: policy.RealmPortalUser, ID: "pu-1", Permissions: policy.All}, policy.ErrForbidden},
		"no signed-in user":                  {policy.Subject{}, policy.ErrUnauthenticated},
	} {
		if _, err := c.office.Approve(t.Context(), try.who, asked.ID); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
	// The projection ignores such an approval too, regardless of the publisher.
	for _, forged := range []events.ContentErased{
		{ErasureID: asked.ID, MessageID: c.message, ApprovedBy: c.ann.Actor()},
		{ErasureID: asked.ID, MessageID: c.message, ApprovedBy: c.ben.Actor()}, // by ann, in ben's name
		{ErasureID: uuid.New(), MessageID: c.message, ApprovedBy: c.ann.Actor()},
	} {
		c.Record(t, c.ann.Actor(), forged)
	}
	if e, err := c.office.Find(t.Context(), asked.ID); err != nil || e.Status != "requested" {
		t.Errorf("the status is %s: %v", e.Status, err)
	}
	if err := c.office.Sweep(t.Context()); err != nil || c.keys(t) != 3 {
		t.Errorf("keys were destroyed: %v", err)
	}
	c.holds(t)
}

// Of concurrent requests, approvals, or an approval and a rejection, one succeeds.
func TestOneOfTwoConcurrentActionsSucceeds(t *testing.T) {
	t.Parallel()
	c := open(t)
	cleo := c.Staff(t, "Cleo", policy.EraseMessageContent)
	together := func(tries ...func() error) (done int) {
		errs := make([]error, len(tries))
		var all sync.WaitGroup
		for i, try := range tries {
			all.Go(func() { errs[i] = try() })
		}
		all.Wait()
		for _, err := range errs {
			switch {
			case err == nil:
				done++
			case !errors.Is(err, retention.ErrAsked) && !errors.Is(err, retention.ErrSettled):
				t.Errorf("the other returned %v", err)
			}
		}
		return done
	}
	asks := func(who policy.Subject) func() error {
		return func() error { _, err := c.office.Request(t.Context(), who.Actor(), c.message, why); return err }
	}
	if n := together(asks(c.ann), asks(c.ann), asks(c.ann)); n != 1 {
		t.Errorf("%d requests stand", n)
	}
	e, err := c.office.Of(t.Context(), c.message)
	if err != nil {
		t.Fatal(err)
	}
	approves := func(who policy.Subject) func() error {
		return func() error { _, err := c.office.Approve(t.Context(), who, e.ID); return err }
	}
	withdraws := func() error { _, err := c.office.Withdraw(t.Context(), c.ann.Actor(), e.ID); return err }
	if n := together(approves(c.ben), approves(cleo), withdraws); n != 1 {
		t.Errorf("%d settled it", n)
	}
	e, err = c.office.Find(t.Context(), e.ID)
	if err != nil || (e.Status == "erased") != (c.keys(t) == 0) {
		t.Errorf("the status is %s, and %d keys are left: %v", e.Status, c.keys(t), err)
	}
	c.holds(t)
}

// A withdrawn request can't be approved, and another may be made.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	c := open(t)
	first := c.ask(t, c.ann)
	if _, err := c.office.Withdraw(t.Context(), c.ben.Actor(), first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.office.Approve(t.Context(), c.ben, first.ID); !errors.Is(err, retention.ErrSettled) {
		t.Errorf("approving it: %v", err)
	}
	if _, err := c.office.Approve(t.Context(), c.ann, c.ask(t, c.ben).ID); err != nil {
		t.Error(err)
	}
	if all, err := c.office.List(t.Context(), 0, 10); err != nil || len(all) != 2 || all[1].ID != first.ID {
		t.Errorf("the list is %+v: %v", all, err)
	}
	c.holds(t)
}

// Requests that are refused.
func TestAskIsRefused(t *testing.T) {
	t.Parallel()
	c := open(t)
	writer := c.Staff(t, "Other", policy.SendPortalMessage)
	onItsWay, err := c.Compose.Send(t.Context(), writer, "other", compose.Request{Subject: "Wait", Body: "For it.",
		Recipients: audience.Selection{PortalUserIDs: []string{"pu-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	c.Await(t, onItsWay.Seq)
	for name, try := range map[string]struct {
		message uuid.UUID
		reason  string
		want    error
	}{
		"without a reason":      {c.message, " ", nil},
		"with a long one":       {c.message, strings.Repeat("x", int(limits.Reason)+1), nil},
		"of an unknown message": {uuid.New(), why, message.ErrNotFound},
		"of one being sent":     {onItsWay.ID, why, retention.ErrGoingOut},
	} {
		_, err := c.office.Request(t.Context(), c.ann.Actor(), try.message, try.reason)
		if invalid := new(compose.Invalid); try.want == nil && errors.As(err, &invalid) {
			continue
		}
		if err == nil || !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.ask(t, c.ann)
	if _, err := c.office.Request(t.Context(), c.ben.Actor(), c.message, why); !errors.Is(err, retention.ErrAsked) {
		t.Errorf("twice: %v", err)
	}
}

// Sweep finishes an erasure after a crash after the event, and after the restore of a backup
// of Postgres with the keys.
func TestTheSweepFinishes(t *testing.T) {
	t.Parallel()
	c := open(t)
	asked := c.ask(t, c.ann)
	c.Record(t, c.ben.Actor(), events.ContentErased{ErasureID: asked.ID, MessageID: c.message, ApprovedBy: c.ben.Actor()})
	for range 2 {
		if c.keys(t) == 0 {
			t.Fatal("there are no keys to destroy")
		}
		if err := c.office.Sweep(t.Context()); err != nil || c.keys(t) != 0 {
			t.Errorf("%d keys are left: %v", c.keys(t), err)
		}
		c.Exec(t, `INSERT INTO app.manifest_keys (message_id, wrapped_key) VALUES ($1, 'restored')`, c.message)
	}
}

// Keys of erased content that exist at the start of a process, or are restored while it runs,
// are destroyed, and not used before that: after a crash at any point of an erasure, a
// failover that lost it, and a backup of either store that restores keys.
func TestKeysOfErasedContentAreDestroyed(t *testing.T) {
	t.Parallel()
	row := func(c *clinic, k content.Keys) {
		c.Exec(t, `INSERT INTO app.message_content (message_id, wrapped_key, sealed) VALUES ($1, $2, $3)`, c.message, k.WrappedKey, k.Sealed)
	}
	copied := func(c *clinic, k content.Keys) {
		if _, err := c.Content.StoreKeys(t.Context(), content.KeysOf(c.message), c.message, k); err != nil {
			t.Fatal(err)
		}
	}
	for name, back := range map[string][]func(*clinic, content.Keys){
		"the row": {row}, "the copy": {copied}, "both": {row, copied}, "neither": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			kept, err := c.Content.FindKeys(t.Context(), content.KeysOf(c.message))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.office.Approve(t.Context(), c.ben, c.ask(t, c.ann).ID); err != nil {
				t.Fatal(err)
			}
			for _, bring := range back {
				bring(c, kept)
			}
			if _, _, err := c.Reader.Open(t.Context(), c.message); !errors.Is(err, message.ErrErased) {
				t.Errorf("opening it: %v", err)
			}
			if err := c.Reader.SecureKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := c.keys(t); n > len(back) || n > 1 {
				t.Errorf("a row was restored: %d", n)
			}
			next := retention.New(retention.Config{Pool: c.Pool, Content: c.Content, Facts: facts.Publisher{Clock: c.Clock.Now}})
			if err := next.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, copies := c.keys(t), c.copies(t); n != 0 || copies != 0 {
				t.Errorf("%d keys and %d copies are left", n, copies)
			}
			row(c, kept) // a failover of Postgres while the process runs
			if err := next.Sweep(t.Context()); err != nil || c.keys(t) != 0 {
				t.Errorf("%d keys are left: %v", c.keys(t), err)
			}
		})
	}
}

// If the content store can't be reached, the erasure counts, the row is deleted, and the
// sweep of the same process finishes it.
func TestErasingWhileTheContentStoreIsUnreachable(t *testing.T) {
	t.Parallel()
	c := open(t)
	away := content.New(memblob.OpenBucket(nil), nil)
	if err := away.Close(); err != nil { // every call fails
		t.Fatal(err)
	}
	store := c.office.SetContent(away)
	if _, err := c.office.Approve(t.Context(), c.ben, c.ask(t, c.ann).ID); !errors.Is(err, retention.ErrKeysLeft) {
		t.Fatalf("approving it: %v", err)
	}
	if _, _, err := c.Reader.Open(t.Context(), c.message); !errors.Is(err, message.ErrErased) || c.keys(t) != 0 || c.copies(t) != 2 {
		t.Errorf("opening it: %v; %d keys, %d copies", err, c.keys(t), c.copies(t))
	}
	c.office.SetContent(store)
	if err := c.office.Sweep(t.Context()); err != nil || c.copies(t) != 0 {
		t.Errorf("%d copies are left: %v", c.copies(t), err)
	}
}

// A draft that is a copy of the message is erased too, with the copied documents.
func TestACopyIsErasedToo(t *testing.T) {
	t.Parallel()
	c := open(t)
	copies := func() (n int) {
		if err := c.Admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.drafts WHERE copy_of = $1) + (SELECT count(*) FROM app.attachments WHERE copy_of = $1)`, c.message).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	begin := func() {
		c.Exec(t, `INSERT INTO app.drafts (draft_id, staff_id, version, page, wrapped_key, sealed, sealed_body, saved_at, copy_of) VALUES (gen_random_uuid(), 'w', 1, '', '', '', '', now(), $1)`, c.message)
		c.Exec(t, `INSERT INTO app.attachments (attachment_id, staff_id, wrapped_key, sealed_name, size, media_type, sha256, uploaded_at, copy_of) VALUES (gen_random_uuid(), 'w', '', '', 1, 'x', sha256(''), now(), $1)`, c.message)
	}
	begin()
	asked := c.ask(t, c.ann)
	if _, err := c.office.Approve(t.Context(), c.ben, asked.ID); err != nil || copies() != 0 {
		t.Errorf("%d copies are left, %v", copies(), err)
	}
	begin()
	if err := c.office.Sweep(t.Context()); err != nil || copies() != 0 {
		t.Errorf("after the sweep %d copies are left, %v", copies(), err)
	}
}

// If the erasure can't be recorded, nothing is erased.
func TestWithoutTheRecordNothingIsErased(t *testing.T) {
	t.Parallel()
	c := open(t)
	asked := c.ask(t, c.ann)
	c.Break(&composetest.Fault{Err: errors.New("NATS is away")})
	if _, err := c.office.Approve(t.Context(), c.ben, asked.ID); !errors.Is(err, facts.ErrUnavailable) || c.keys(t) != 3 {
		t.Errorf("got %v, and %d keys are left", err, c.keys(t))
	}
	c.Break(nil)
	if _, err := c.office.Approve(t.Context(), c.ben, asked.ID); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A change of the retention is recorded once. The same setting is not recorded again.
func TestTheRetentionIsDeclared(t *testing.T) {
	t.Parallel()
	c := open(t)
	const api = "process:api"
	for _, step := range []struct{ set, events int }{{6, 0}, {10, 1}, {10, 1}, {2, 2}, {6, 3}, {10, 4}} {
		var replicas sync.WaitGroup
		for range 3 {
			replicas.Go(func() {
				if err := c.office.Declare(t.Context(), api, step.set); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		years, _, err := c.office.Years(t.Context())
		var recorded int
		if err == nil {
			err = c.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.retention`).Scan(&recorded)
		}
		if err != nil || years != step.set || recorded != step.events {
			t.Errorf("set to %d: it is %d, recorded %d times, want %d: %v", step.set, years, recorded, step.events, err)
		}
	}
	// After the retention has passed, an erasure is not early.
	c.Clock.Advance(11 * 366 * 24 * time.Hour)
	asked := c.ask(t, c.ann)
	if done, err := c.office.Approve(t.Context(), c.ben, asked.ID); err != nil || done.Early {
		t.Errorf("after eleven years: %+v, %v", done, err)
	}
	c.holds(t)
}
