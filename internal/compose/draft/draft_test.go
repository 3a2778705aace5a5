package draft_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/compose/draft"
	"postern/internal/directory/audience"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic returns a system with drafts and a staff member who may write them.
func clinic(t *testing.T) (*composetest.System, *draft.Drafts, policy.Subject) {
	s := composetest.New(t)
	return s, draft.New(draft.Config{Pool: s.Pool, Content: s.Content, Now: s.Clock.Now}), s.Staff(t, "Ada Author", policy.SendPortalMessage)
}

func subject(text string) func(*draft.Content) {
	return func(c *draft.Content) { c.Subject = text }
}

func save(t *testing.T, b *draft.Drafts, by policy.Subject, id uuid.UUID, seen draft.Seen, change func(*draft.Content)) draft.Draft {
	t.Helper()
	d, err := b.Save(t.Context(), by, id, seen, change)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADraftIsKeptWholeAndSealed(t *testing.T) {
	t.Parallel()
	s, b, ada := clinic(t)
	up, err := s.Compose.Upload(t.Context(), ada, "secret.txt", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	saved := save(t, b, ada, id, draft.Seen{Page: "p"}, func(c *draft.Content) {
		c.Subject, c.Body = "SECRET subject", "SECRET\r\nbody"
		c.Recipients = audience.Selection{PortalUserIDs: []string{"ann"}, Groups: []audience.Group{audience.ActivePatients}}
		c.StaffBcc, c.AttachmentIDs = []string{"bo"}, []uuid.UUID{up.ID}
		c.When = draft.When{Later: true, Day: "3", Month: "x", Time: "9"}
	})
	opened, err := b.Open(t.Context(), ada, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved, opened, cmp.Transformer("utc", time.Time.UTC)); diff != "" {
		t.Errorf("opened (-saved +opened):\n%s", diff)
	}
	if opened.Version != 1 || opened.Key == "" {
		t.Errorf("version %d and key %q, want 1 and some", opened.Version, opened.Key)
	}
	var row string
	if err := s.Admin.QueryRow(t.Context(), `SELECT d::text || encode(sealed, 'escape') || encode(sealed_body, 'escape') FROM app.drafts d`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, "SECRET") || strings.Contains(row, "ann") {
		t.Errorf("the row tells what is in it: %s", row)
	}
}

// Only its author can read, change and delete a draft, and its id can't be reused.
func TestADraftIsItsAuthorsAlone(t *testing.T) {
	t.Parallel()
	s, b, ada := clinic(t)
	eve := s.Staff(t, "Eve", policy.SendPortalMessage)
	id := uuid.New()
	save(t, b, ada, id, draft.Seen{Page: "p"}, subject("mine"))
	_, opening := b.Open(t.Context(), eve, id)
	_, saving := b.Save(t.Context(), eve, id, draft.Seen{Version: 1, Page: "p"}, subject("eve's"))
	_, beginning := b.Save(t.Context(), eve, id, draft.Seen{Page: "p"}, subject("eve's"))
	for doing, err := range map[string]error{"opening": opening, "saving": saving, "beginning": beginning, "deleting": b.Delete(t.Context(), eve, id)} {
		if !errors.Is(err, draft.ErrNotFound) {
			t.Errorf("%s another's draft: %v, want not found", doing, err)
		}
	}
	if list, _, err := b.List(t.Context(), eve, "", 10); err != nil || len(list) != 0 {
		t.Errorf("Eve's list has %d drafts, %v", len(list), err)
	}
	noPermission := s.Staff(t, "No Permission")
	if _, err := b.Save(t.Context(), noPermission, uuid.New(), draft.Seen{Page: "p"}, subject("x")); !errors.Is(err, policy.ErrForbidden) {
		t.Errorf("saving without the permission: %v", err)
	}
}

func TestAStaleTabOverwritesNothing(t *testing.T) {
	t.Parallel()
	_, b, ada := clinic(t)
	id := uuid.New()
	save(t, b, ada, id, draft.Seen{Page: "first tab"}, subject("one"))
	save(t, b, ada, id, draft.Seen{Version: 1, Page: "second tab"}, subject("two"))
	_, err := b.Save(t.Context(), ada, id, draft.Seen{Version: 1, Page: "first tab"}, subject("three"))
	stale := new(draft.Stale)
	if !errors.As(err, &stale) || stale.Now.Subject != "two" || stale.Now.Version != 2 {
		t.Fatalf("saving from a stale tab: %v", err)
	}
	// A page that shows the present version can save.
	if d := save(t, b, ada, id, draft.Seen{Version: 2, Page: "first tab"}, subject("three")); d.Subject != "three" || d.Version != 3 {
		t.Errorf("saved %q as version %d", d.Subject, d.Version)
	}
}

// After a lost answer, a page has an old version of its own draft. That is no conflict,
// at the first save or later.
func TestALostAnswerIsNoConflict(t *testing.T) {
	t.Parallel()
	_, b, ada := clinic(t)
	id, page := uuid.New(), "the only tab"
	save(t, b, ada, id, draft.Seen{Page: page}, subject("one"))
	save(t, b, ada, id, draft.Seen{Page: page}, subject("two"))
	d := save(t, b, ada, id, draft.Seen{Version: 1, Page: page}, subject("three"))
	if d.Version != 3 {
		t.Errorf("version %d, want 3", d.Version)
	}
	// A save without changes keeps the version.
	if d = save(t, b, ada, id, draft.Seen{Version: 3, Page: page}, subject("three")); d.Version != 3 {
		t.Errorf("version %d after saving the same, want 3", d.Version)
	}
}

func TestDraftsAreListedLastSavedFirst(t *testing.T) {
	t.Parallel()
	s, b, ada := clinic(t)
	ids := make([]uuid.UUID, 5)
	for i := range ids {
		ids[i] = uuid.New()
		save(t, b, ada, ids[i], draft.Seen{Page: "p"}, func(c *draft.Content) { c.Subject, c.Body = fmt.Sprint(i), "long" })
		s.Clock.Advance(time.Second)
	}
	save(t, b, ada, ids[1], draft.Seen{Version: 1, Page: "p"}, subject("1 again"))
	var listed []string
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := b.List(t.Context(), ada, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			listed = append(listed, d.Subject+d.Body)
		}
		cursor = next
	}
	if diff := cmp.Diff([]string{"1 again", "4", "3", "2", "0"}, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"x", "1_x", "-1_" + uuid.NewString()} {
		if _, _, err := b.List(t.Context(), ada, wrong, 2); !errors.Is(err, draft.ErrCursor) {
			t.Errorf("the cursor %q: %v", wrong, err)
		}
	}
}

func TestTooLongADraftIsRefused(t *testing.T) {
	t.Parallel()
	_, b, ada := clinic(t)
	_, err := b.Save(t.Context(), ada, uuid.New(), draft.Seen{Page: "p"}, func(c *draft.Content) { c.Body = strings.Repeat("x", 1<<20) })
	if !errors.Is(err, draft.ErrTooLong) {
		t.Errorf("a draft of a MiB and more: %v", err)
	}
	if list, _, _ := b.List(t.Context(), ada, "", 10); len(list) != 0 {
		t.Error("what was refused has left a draft")
	}
}

// A document is kept while it is in a draft. After it is removed, or the draft is deleted,
// it is deleted after a month.
func TestUploadsOfALivingDraftAreNotSwept(t *testing.T) {
	t.Parallel()
	s, b, ada := clinic(t)
	var ups [2]uuid.UUID
	for i := range ups {
		up, err := s.Compose.Upload(t.Context(), ada, "a.txt", bytes.NewReader([]byte("text")))
		if err != nil {
			t.Fatal(err)
		}
		ups[i] = up.ID
	}
	id := uuid.New()
	attach := func(ids ...uuid.UUID) func(*draft.Content) {
		return func(c *draft.Content) { c.AttachmentIDs = ids }
	}
	save(t, b, ada, id, draft.Seen{Page: "p"}, attach(ups[0], ups[1]))
	s.Clock.Advance(40 * 24 * time.Hour)
	left := func() int {
		t.Helper()
		if err := errors.Join(b.Sweep(t.Context()), s.Compose.Sweep(t.Context())); err != nil {
			t.Fatal(err)
		}
		found, err := s.Compose.Uploads(t.Context(), ada, ups[:])
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := left(); n != 2 {
		t.Errorf("%d of 2 uploads are left of a draft of 40 days", n)
	}
	save(t, b, ada, id, draft.Seen{Version: 1, Page: "p"}, attach(ups[1]))
	if n := left(); n != 1 {
		t.Errorf("%d uploads are left after one was taken out", n)
	}
	s.Clock.Advance(draft.Lifetime + time.Hour)
	if n := left(); n != 0 {
		t.Errorf("%d uploads are left after the draft was swept", n)
	}
	if _, err := b.Open(t.Context(), ada, id); !errors.Is(err, draft.ErrNotFound) {
		t.Errorf("the draft after %v: %v", draft.Lifetime, err)
	}
}

func TestWhen(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		day, month, year, clock string
		want                    string
		err                     error
	}{
		{"3", "12", "2026", "09:30", "2026-12-03T08:30:00Z", nil},
		{" 3 ", "7", "2026", "9:30 pm", "2026-07-03T19:30:00Z", nil},
		{"3", "7", "2026", "9am", "2026-07-03T07:00:00Z", nil},
		{"31", "2", "2026", "9:30", "", draft.ErrDay},
		{"", "2", "2026", "9:30", "", draft.ErrDay},
		{"3", "2", "26", "9:30", "", draft.ErrDay},
		{"3", "2", "2026", "25:00", "", draft.ErrTime},
		{"3", "2", "2026", "", "", draft.ErrTime},
		{"31", "2", "2026", "25:00", "", draft.ErrDay},
		{"31", "2", "2026", "25:00", "", draft.ErrTime},
	} {
		at, err := draft.When{Later: true, Day: c.day, Month: c.month, Year: c.year, Time: c.clock}.At(berlin)
		if !errors.Is(err, c.err) || err == nil && at.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%v: %v, %v", c, at, err)
		}
	}
	if at, err := (draft.When{Day: "x"}).At(berlin); at != nil || err != nil {
		t.Errorf("now: %v, %v", at, err)
	}
}

// Concurrent copies of one message return the same draft with its uploads. The other
// uploads are in no draft.
func TestCopyOfAtOnce(t *testing.T) {
	t.Parallel()
	s, b, ada := clinic(t)
	message := uuid.New()
	if _, err := s.Admin.Exec(t.Context(), `INSERT INTO app.message_content (message_id, wrapped_key, sealed, created_at) VALUES ($1, '', '', now())`, message); err != nil {
		t.Fatal(err)
	}
	original := func() (draft.Content, error) {
		up, err := s.Compose.Upload(t.Context(), ada, "secret.txt", strings.NewReader("hello"))
		return draft.Content{Subject: "as it was", AttachmentIDs: []uuid.UUID{up.ID}}, err
	}
	const hands = 5
	got := make(chan draft.Draft, hands)
	for range hands {
		go func() {
			d, err := b.CopyOf(t.Context(), ada, message, original)
			if err != nil {
				t.Error(err)
			}
			got <- d
		}()
	}
	first := <-got
	for range hands - 1 {
		if d := <-got; d.ID != first.ID || d.AttachmentIDs[0] != first.AttachmentIDs[0] {
			t.Errorf("two drafts, %s and %s", d.ID, first.ID)
		}
	}
	if first.Subject != "as it was" || first.CopyOf == nil || *first.CopyOf != message || first.Key != draft.CopyKey(message) {
		t.Errorf("the copy is %+v", first)
	}
	var kept uuid.UUID
	if err := s.Admin.QueryRow(t.Context(), `SELECT attachment_id FROM app.attachments WHERE draft_id = $1`, first.ID).Scan(&kept); err != nil || kept != first.AttachmentIDs[0] {
		t.Errorf("it keeps the upload %s, %v", kept, err)
	}
	if _, err := b.CopyOf(t.Context(), ada, uuid.New(), original); !errors.Is(err, draft.ErrErased) {
		t.Errorf("of a message without content: %v", err)
	}
	eve := s.Staff(t, "Eve", policy.SendPortalMessage)
	if _, err := b.CopyOf(t.Context(), eve, message, original); !errors.Is(err, draft.ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
}

// Where the clocks go back, the sender chooses one of two times by its offset. Where they
// go forward, the error has the next time.
func TestWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, day, month, year, clock, offset, want string }{
		{"Europe/Berlin", "25", "10", "2026", "2:30", "", "twice 2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00"},
		{"Europe/Berlin", "25", "10", "2026", "2:30", "UTC+02:00", "2026-10-25T02:30:00+02:00"},
		{"Europe/Berlin", "25", "10", "2026", "2:30", "UTC+01:00", "2026-10-25T02:30:00+01:00"},
		{"Europe/Berlin", "25", "10", "2026", "2:30", "UTC+03:00", "twice 2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00"},
		{"Europe/Berlin", "25", "10", "2026", "3:30", "UTC+02:00", "2026-10-25T03:30:00+01:00"}, // an earlier choice says nothing about another time
		{"Europe/Berlin", "28", "3", "2027", "2:30", "", "skipped, then 2027-03-28T03:00:00+02:00"},
		{"Europe/Berlin", "28", "3", "2027", "3:00", "", "2027-03-28T03:00:00+02:00"},
		{"America/New_York", "1", "11", "2026", "1:00 am", "", "twice 2026-11-01T01:00:00-04:00 2026-11-01T01:00:00-05:00"},
		{"America/New_York", "1", "11", "2026", "1:00 am", "UTC-05:00", "2026-11-01T01:00:00-05:00"},
		{"America/New_York", "1", "11", "2026", "2:00 am", "", "2026-11-01T02:00:00-05:00"},
		{"America/New_York", "14", "3", "2027", "2:59 am", "", "skipped, then 2027-03-14T03:00:00-04:00"},
		{"America/New_York", "14", "3", "2027", "1:59 am", "", "2027-03-14T01:59:00-05:00"},
	} {
		in, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		when := draft.When{Later: true, Day: c.day, Month: c.month, Year: c.year, Time: c.clock, Offset: c.offset}
		at, err := when.At(in)
		twice, skipped, got := new(draft.Twice), new(draft.Skipped), ""
		switch {
		case errors.As(err, &twice):
			got = "twice " + twice.First.Format(time.RFC3339) + " " + twice.Second.Format(time.RFC3339)
		case errors.As(err, &skipped):
			got = "skipped, then " + skipped.Next.Format(time.RFC3339)
		case err != nil:
			t.Errorf("%v: %v", c, err)
		default:
			got = at.Format(time.RFC3339)
			if again, err := draft.WhenAt(at, in).At(in); err != nil || !again.Equal(*at) {
				t.Errorf("%v: typed again it is %v, %v", c, again, err)
			}
		}
		if got != c.want {
			t.Errorf("%v is %s, want %s", c, got, c.want)
		}
	}
}

func TestWhenAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 3, 4, 21, 5, 0, 0, time.UTC)
	if again, err := draft.WhenAt(&at, time.UTC).At(time.UTC); err != nil || !again.Equal(at) {
		t.Errorf("%v, %v", again, err)
	}
	if again, err := draft.WhenAt(nil, time.UTC).At(time.UTC); err != nil || again != nil {
		t.Errorf("%v, %v", again, err)
	}
}
