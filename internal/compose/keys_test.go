package compose_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
)

// letterbox is a system with messages that have one document each.
type letterbox struct {
	*composetest.System
	document uuid.UUID
}

func newLetterbox(t *testing.T) (*letterbox, func(subject string) uuid.UUID) {
	t.Helper()
	l := &letterbox{System: composetest.New(t)}
	ada := sender(t, l.System)
	l.PortalUser(t, "pu-1")
	return l, func(subject string) uuid.UUID {
		up, err := l.Compose.Upload(t.Context(), ada, "plan.pdf", bytes.NewReader(pdf))
		if err != nil {
			t.Fatal(err)
		}
		l.document = up.ID
		id := send(t, l.System, ada, uuid.NewString(), compose.Request{Subject: subject, Body: "The body.", Recipients: to("pu-1"), AttachmentIDs: []uuid.UUID{up.ID}}).ID
		l.Settle(t)
		return id
	}
}

// row returns the keys of a message in Postgres, and whether they exist.
func (l *letterbox) row(t *testing.T, id uuid.UUID) (k content.Keys, there bool) {
	t.Helper()
	err := l.Admin.QueryRow(t.Context(), `SELECT wrapped_key, sealed FROM app.message_content WHERE message_id = $1`, id).Scan(&k.WrappedKey, &k.Sealed)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return k, err == nil
}

// The states of each place with a message's content or keys.
const (
	whole = iota
	damaged
	gone
)

var states = []string{whole: "whole", damaged: "damaged", gone: "gone"}

// Every state of the row, the copy and the body, with and without a recorded erasure: an erased
// message stays erased in every state. Another message can be read if the row or the copy can be
// opened, which restores the row; otherwise it is missing.
func TestWhereverTheKeysAre(t *testing.T) {
	l, sendOne := newLetterbox(t)
	for row := range states {
		for copied := range states {
			for body := range states {
				for _, erased := range []bool{false, true} {
					name := fmt.Sprintf("row %s, copy %s, body %s, erased %v", states[row], states[copied], states[body], erased)
					id := sendOne(name)
					before, _ := l.row(t, id)
					l.arrange(t, id, row, copied, body)
					want := message.Kept
					switch {
					case erased:
						l.Erase(t, id)
						want = message.Erased
					case row != whole && copied != whole:
						want = message.Missing
					}
					l.check(t, name, id, want, body == whole)
					after, there := l.row(t, id)
					if whole := bytes.Equal(after.WrappedKey, before.WrappedKey) && bytes.Equal(after.Sealed, before.Sealed); want == message.Kept && (!there || !whole) {
						t.Errorf("%s: the row is not what it was", name)
					}
					if erased && row == gone && there {
						t.Errorf("%s: the row is there again", name)
					}
				}
			}
		}
	}
}

// arrange brings the stored data of a message into these states.
func (l *letterbox) arrange(t *testing.T, id uuid.UUID, row, copied, body int) {
	t.Helper()
	ctx := t.Context()
	switch row {
	case damaged:
		l.Exec(t, `UPDATE app.message_content SET sealed = sealed || '\x00'::bytea WHERE message_id = $1`, id)
	case gone:
		l.Exec(t, `DELETE FROM app.message_content WHERE message_id = $1`, id)
	}
	kept, err := l.Content.FindKeys(ctx, content.KeysOf(id))
	if err != nil {
		t.Fatal(err)
	}
	if copied != whole {
		err = l.Content.Delete(ctx, content.KeysOf(id))
	}
	if copied == damaged && err == nil {
		kept.Sealed = kept.Sealed[:len(kept.Sealed)-1]
		_, err = l.Content.StoreKeys(ctx, content.KeysOf(id), id, kept)
	}
	if body != whole && err == nil {
		err = l.Content.Delete(ctx, content.BodyOf(id))
	}
	if body == damaged && err == nil {
		var other content.Key
		if other, _, err = l.Content.NewKey(id); err == nil {
			_, err = l.Content.Create(ctx, content.BodyOf(id), other, strings.NewReader("The body."))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// check reads a message with each function that can.
func (l *letterbox) check(t *testing.T, name string, id uuid.UUID, want message.Condition, body bool) {
	t.Helper()
	fails := map[message.Condition]error{message.Erased: message.ErrErased, message.Missing: message.ErrMissing}[want]
	headers, err := l.Reader.Headers(t.Context(), []uuid.UUID{id})
	if err != nil || headers[id].Condition != want || (headers[id].Subject == name) != (want == message.Kept) {
		t.Errorf("%s: the lists have it as %s with %q: %v", name, headers[id].Condition, headers[id].Subject, err)
	}
	if h, err := l.Reader.Header(t.Context(), id); !errors.Is(err, fails) || err == nil && h.Subject != name {
		t.Errorf("%s: its header is %q: %v", name, h.Subject, err)
	}
	if _, data, err := l.Reader.OpenAttachment(t.Context(), id, l.document); !errors.Is(err, fails) || err == nil && !bytes.Equal(data, pdf) {
		t.Errorf("%s: its document is %q: %v", name, data, err)
	}
	if want == message.Kept && !body {
		fails, want = message.ErrMissing, message.Missing
	}
	if _, text, err := l.Reader.Open(t.Context(), id); !errors.Is(err, fails) || err == nil && text != "The body." {
		t.Errorf("%s: its body is %q: %v", name, text, err)
	}
	if h, _, err := l.Reader.Read(t.Context(), id); err != nil || h.Condition != want {
		t.Errorf("%s: it reads as %s: %v", name, h.Condition, err)
	}
}

// A document without a blob is missing, although the message can be read.
func TestAMissingDocument(t *testing.T) {
	l, sendOne := newLetterbox(t)
	id := sendOne("s")
	if err := l.Content.Delete(t.Context(), content.AttachmentOf(l.document)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Reader.OpenAttachment(t.Context(), id, l.document); !errors.Is(err, message.ErrMissing) {
		t.Errorf("opening it: %v", err)
	}
	if _, _, err := l.Reader.Open(t.Context(), id); err != nil {
		t.Errorf("opening the message: %v", err)
	}
}

// The body and the copy of the keys are durable before the event is published.
func TestKeysAreKeptTwiceBeforeTheEvent(t *testing.T) {
	s := composetest.New(t)
	ada := sender(t, s)
	s.PortalUser(t, "pu-1")
	var looked bool
	c := compose.New(compose.Config{Pool: s.Pool, Content: s.Content, Reader: s.Reader, Intact: s.Position.Intact, Facts: facts.Publisher{Source: "/api", Send: func(ctx context.Context, all ...events.Event) (uint64, error) {
		for _, e := range all {
			looked = true
			kept, err := s.Content.FindKeys(ctx, content.KeysOf(e.MessageID))
			if err != nil {
				t.Errorf("%s is published and the copy of the keys is %v", e.Type, err)
				continue
			}
			key, err := s.Content.Unwrap(e.MessageID, kept.WrappedKey)
			if err != nil {
				t.Error(err)
			}
			body, err := s.Content.Get(ctx, content.BodyOf(e.MessageID), key)
			if err != nil {
				t.Errorf("%s is published and its body is %v", e.Type, err)
				continue
			}
			_ = body.Close()
		}
		return s.Publish(ctx, all...)
	}, Reached: s.Position.Wait, Clock: s.Clock.Now}})
	if _, err := c.Send(t.Context(), ada, "k", compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")}); err != nil || !looked {
		t.Fatal(err, looked)
	}
	if n := uncopied(t, s); n != 0 {
		t.Errorf("%d rows are not marked as copied", n)
	}
}

func uncopied(t *testing.T, s *composetest.System) (n int) {
	t.Helper()
	err := s.Admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.message_content WHERE NOT copied)
		+ (SELECT count(*) FROM app.manifest_keys WHERE NOT copied)`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Keys of data from before the copies are copied in the background. The messages can be read
// before that, and after a stop the next process continues. Keys of erased messages are not
// copied.
func TestKeysOfOldDataAreCopied(t *testing.T) {
	l, sendOne := newLetterbox(t)
	var ids []uuid.UUID
	for i := range 20 {
		id := sendOne(fmt.Sprint("message ", i))
		ids = append(ids, id)
		if err := l.Content.Delete(t.Context(), content.KeysOf(id)); err != nil {
			t.Fatal(err)
		}
		_, wrapped, err := l.Content.NewKey(id)
		if err != nil {
			t.Fatal(err)
		}
		l.Exec(t, `INSERT INTO app.manifest_keys (message_id, wrapped_key) VALUES ($1, $2)`, id, wrapped)
	}
	l.Exec(t, `UPDATE app.message_content SET copied = false`)
	l.Erase(t, ids[0])
	if _, body, err := l.Reader.Open(t.Context(), ids[1]); err != nil || body != "The body." {
		t.Errorf("before: %q, %v", body, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Reader.SecureKeys(stopped); err == nil {
		t.Error("a process that is stopped says that all are copied")
	}
	if err := l.Reader.SecureKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := uncopied(t, l.System); n != 2 {
		t.Errorf("%d rows have no copy, want the 2 of what was erased", n)
	}
	l.Exec(t, `DELETE FROM app.message_content`)
	for i, id := range ids {
		_, _, err := l.Reader.Open(t.Context(), id)
		if want := i > 0; (err == nil) != want {
			t.Errorf("message %d without its row: %v", i, err)
		}
		_, err = l.Content.FindKeys(t.Context(), content.ManifestKeysOf(id))
		if want := i > 0; (err == nil) != want {
			t.Errorf("the key of manifest %d: %v", i, err)
		}
	}
}

// Rows that a failover lost are restored, also if no one reads their messages.
func TestLostRowsComeBack(t *testing.T) {
	l, sendOne := newLetterbox(t)
	kept, lost := sendOne("kept"), sendOne("lost")
	erased := sendOne("erased")
	l.Erase(t, erased)
	l.Lose(t, lost)
	l.Exec(t, `DELETE FROM app.message_content`)
	for range 2 {
		if err := l.Reader.SecureKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[uuid.UUID]bool{kept: true, lost: false, erased: false} {
		if _, there := l.row(t, id); there != want {
			t.Errorf("the row of %s is there: %v", id, there)
		}
	}
}
