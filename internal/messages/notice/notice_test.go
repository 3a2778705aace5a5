package notice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/messages/notice"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/text/language"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var (
	sam = policy.Subject{Realm: policy.RealmStaff, ID: "sam"}
	noa = policy.Subject{Realm: policy.RealmStaff, ID: "noa"}
)

type clinic struct {
	*notice.Notices
	admin *pgxpool.Pool
	now   time.Time
}

func open(t *testing.T) *clinic {
	t.Helper()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleAPI)
	c := &clinic{admin: storetest.Open(t, url, store.RoleAdmin), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	c.Notices = notice.New(notice.Config{Pool: pool, Messages: messages.New(pool), Now: func() time.Time { return c.now }})
	for _, sql := range []string{
		`INSERT INTO record.staff (staff_id, name, created_at) VALUES ('sam', 'Sam', now()), ('noa', 'Noa', now())`,
		`INSERT INTO record.staff_permissions (staff_id, permission, granted_at, granted_by) VALUES ('sam', 'send_bulk_portal_message', now(), 'operator:x'), ('noa', 'send_bulk_portal_message', now(), 'operator:x')`,
		`INSERT INTO app.staff_accounts (staff_id, email, setup) VALUES ('sam', 'sam@clinic.example', 'complete'), ('noa', 'noa@clinic.example', 'complete')`,
	} {
		c.exec(t, sql)
	}
	return c
}

func (c *clinic) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := c.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// ends makes the notice of a message of a sender, as the recorder does, by the event seq.
func (c *clinic) ends(t *testing.T, sender string, seq int, bulk bool) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	c.exec(t, `INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at, audience, delivered, alert_accepted, notice)
		VALUES ($1, $2, $3, '{"portal_user_ids": [], "groups": []}', '[]', 'd', 'd', 'sent', 'none', $4, $5, $5, $5, 3, 3, 3, 'made')`, id, seq, sender, bulk, c.now)
	c.exec(t, `INSERT INTO record.notices (message_id, sender_id, bulk, ended_seq, ended_at, seq, at) VALUES ($1, $2, $3, $4, $5, $4, $5)`, id, sender, bulk, seq, c.now)
	c.exec(t, `UPDATE record.position SET seq = greatest(seq, $1)`, seq)
	return id
}

// renews renews a notice, as the end of a replay does.
func (c *clinic) renews(t *testing.T, id uuid.UUID, seq int) {
	t.Helper()
	c.exec(t, `UPDATE record.notices SET seq = $2, at = at + interval '1 hour' WHERE message_id = $1`, id, seq)
}

// list gives the sequences of a reader's notices, with a star at those that are unread.
func (c *clinic) list(t *testing.T, reader policy.Subject, q notice.Query) string {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	found, err := c.List(t.Context(), reader, q)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range found {
		text := fmt.Sprint(n.Seq)
		if !n.Read {
			text += "*"
		}
		if n.Message.Progress.Delivered != 3 {
			t.Errorf("notice %d has the message %+v", n.Seq, n.Message)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (c *clinic) unread(t *testing.T, reader policy.Subject, want int) {
	t.Helper()
	if n, err := c.Unread(t.Context(), reader, 3); err != nil || n != want {
		t.Errorf("%d notices are unread, want %d: %v", n, want, err)
	}
}

// Notices are read one by one, or all up to one, by their reader alone. A replay makes one unread
// again.
func TestNoticesAreRead(t *testing.T) {
	t.Parallel()
	c := open(t)
	var ids []uuid.UUID
	for seq := 10; seq <= 50; seq += 10 {
		ids = append(ids, c.ends(t, "sam", seq, true))
	}
	c.ends(t, "noa", 60, true)
	c.unread(t, sam, 3) // it counts no further
	read := func(i int, seq uint64) {
		t.Helper()
		if err := c.MarkRead(t.Context(), sam, ids[i], seq); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"nothing is read", func() {}, "50* 40* 30* 20* 10*"},
		{"one in the middle", func() { read(2, 30) }, "50* 40* 30 20* 10*"},
		{"the oldest", func() { read(0, 10) }, "50* 40* 30 20* 10"},
		{"twice", func() { read(0, 10) }, "50* 40* 30 20* 10"},
		{"the gap", func() { read(1, 20) }, "50* 40* 30 20 10"},
		{"a replay ends", func() { c.renews(t, ids[0], 70) }, "70* 50* 40* 30 20"},
		{"a notice as it was before the replay", func() { read(0, 10) }, "70* 50* 40* 30 20"},
		{"all up to one", func() {
			if err := c.MarkAllRead(t.Context(), sam, 50); err != nil {
				t.Fatal(err)
			}
		}, "70* 50 40 30 20"},
		{"all, and more than there are", func() {
			if err := c.MarkAllRead(t.Context(), sam, 1<<63); err != nil {
				t.Fatal(err)
			}
		}, "70 50 40 30 20"},
		{"one to come", func() { c.ends(t, "sam", 80, true) }, "80* 70 50 40 30 20"},
	} {
		step.do()
		if got := c.list(t, sam, notice.Query{}); got != step.want {
			t.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
	}
	c.unread(t, sam, 1)
	c.unread(t, noa, 1)
	if got := c.list(t, sam, notice.Query{Unread: true}); got != "80*" {
		t.Error(got)
	}
	if got := c.list(t, sam, notice.Query{Before: 50, Limit: 2}); got != "40 30" {
		t.Error(got)
	}
	if err := c.MarkRead(t.Context(), noa, ids[0], 80); !errors.Is(err, notice.ErrNotFound) {
		t.Errorf("another's notice was marked: %v", err)
	}
	if _, err := c.Of(t.Context(), noa, ids[0]); !errors.Is(err, notice.ErrNotFound) {
		t.Errorf("another's notice was read: %v", err)
	}
	var kept int
	if err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.read_notices`).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d rows are kept below the mark: %v", kept, err)
	}
}

// letters hands out every e-mail that is due, and gives the addresses; "-" stands for one that is
// skipped.
func (c *clinic) letters(t *testing.T, end func(*notice.Letter) error) string {
	t.Helper()
	var all []string
	if err := c.WithLetters(t.Context(), func(held func(context.Context) error) error {
		for {
			if err := held(t.Context()); err != nil {
				return err
			}
			l, err := c.NextLetter(t.Context())
			if err != nil || l == nil {
				return err
			}
			if !l.Due {
				l.Email = "-"
			}
			if l.Language != language.Spanish {
				t.Errorf("the language of %s is %q", l.StaffID, l.Language)
			}
			all = append(all, l.Email)
			if err := end(l); err != nil {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// Each message to a group that ends while its sender wants e-mails has one e-mail, whatever happens
// in between.
func TestOneEMailAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	sent := func(l *notice.Letter) error { return c.EndLetter(t.Context(), l, notice.Sent) }
	mails := func(who policy.Subject, on bool) {
		t.Helper()
		if err := c.SetMails(t.Context(), who, on); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Mails(t.Context(), who); err != nil || got != on {
			t.Errorf("e-mails are on: %t, %v", got, err)
		}
	}
	c.exec(t, `UPDATE app.staff_accounts SET language = 'es' WHERE staff_id = 'sam'`)
	first := c.ends(t, "sam", 10, true)
	for _, step := range []struct {
		what string
		do   func()
		end  func(*notice.Letter) error
		want string
	}{
		{"no one wants any", func() {}, sent, ""},
		{"not for what ended before", func() { mails(sam, true) }, sent, ""},
		{"a message to chosen people", func() { c.ends(t, "sam", 20, false) }, sent, ""},
		{"two messages, and one of another sender", func() { c.ends(t, "sam", 30, true); c.ends(t, "sam", 31, true); c.ends(t, "noa", 32, true) }, sent, "sam@clinic.example sam@clinic.example"},
		{"once", func() {}, sent, ""},
		{"not for a replay", func() { c.renews(t, first, 40) }, sent, ""},
		{"a crash after the hand-over", func() { c.ends(t, "sam", 50, true) }, func(*notice.Letter) error { return nil }, "sam@clinic.example"},
		{"and the next process sends no second", func() {}, sent, ""},
		{"the service is away", func() { c.ends(t, "sam", 60, true) }, func(l *notice.Letter) error {
			givenUp, err := c.PutOffLetter(t.Context(), l, time.Minute)
			if givenUp {
				t.Error("it is given up at once")
			}
			return err
		}, "sam@clinic.example"},
		{"before the pause is over", func() {}, sent, ""},
		{"after it", func() { c.now = c.now.Add(time.Minute) }, sent, "sam@clinic.example"},
		{"it was away for days", func() { c.ends(t, "sam", 70, true) }, func(l *notice.Letter) error {
			c.now = c.now.Add(73 * time.Hour)
			givenUp, err := c.PutOffLetter(t.Context(), l, time.Minute)
			if !givenUp {
				t.Error("it is not given up")
			}
			return err
		}, "sam@clinic.example"},
		{"it is given up", func() { c.now = c.now.Add(time.Hour) }, sent, ""},
		{"a disabled account", func() {
			c.exec(t, `UPDATE record.staff SET disabled_at = now() WHERE staff_id = 'sam'`)
			c.ends(t, "sam", 80, true)
		}, func(l *notice.Letter) error { return c.EndLetter(t.Context(), l, notice.Skipped) }, "-"},
		{"a lost permission", func() {
			c.exec(t, `UPDATE record.staff SET disabled_at = NULL`)
			c.exec(t, `DELETE FROM record.staff_permissions WHERE staff_id = 'sam'`)
			c.ends(t, "sam", 90, true)
		}, func(l *notice.Letter) error { return c.EndLetter(t.Context(), l, notice.Skipped) }, "-"},
		{"switched off", func() { mails(sam, false); c.ends(t, "sam", 100, true) }, sent, ""},
	} {
		step.do()
		if got := c.letters(t, step.end); got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
	var states string
	if err := c.admin.QueryRow(t.Context(), `SELECT string_agg(n || ' ' || state, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM app.notice_letters GROUP BY 1) s`).Scan(&states); err != nil ||
		states != "1 failed, 3 sent, 2 skipped, 1 unknown" {
		t.Errorf("the e-mails are %s: %v", states, err)
	}
	c.now = c.now.Add(31 * 24 * time.Hour)
	if err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(state, ' '), '') FROM app.notice_letters`).Scan(&states); err != nil || states != "" {
		t.Errorf("after the sweep there are %s: %v", states, err)
	}
}
