package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
)

// A blast is one message to all portal users, during its processing.
type blast struct {
	*system
	key     string
	base    uint64        // events on the record before it
	written chan struct{} // closed when the first POST has been written
	posted  chan error    // receives the result of sending, once
	id      uuid.UUID     // valid after posted
}

// send starts a blast. It repeats the POST, with one key, until it is accepted.
func (s *system) send() *blast {
	s.Helper()
	s.fake.Store(sendgridfake.New(sendgridfake.Config{}))
	b := &blast{system: s, key: uuid.NewString(), written: make(chan struct{}), posted: make(chan error, 1)}
	var err error
	if b.base, err = s.recorded(s.Context()); err != nil {
		s.Fatal(err)
	}
	go func() {
		ctx, cancel := context.WithTimeout(s.Context(), giveup.After)
		defer cancel()
		b.posted <- b.post(ctx)
	}()
	return b
}

func (s *system) recorded(ctx context.Context) (uint64, error) {
	log, err := s.log(ctx)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	state, err := log.State(ctx)
	return state.Last, err
}

// post sends the message as a client with retries does: after a broken connection or a
// 5xx it repeats the request with the same key.
func (b *blast) post(ctx context.Context) error {
	var once sync.Once
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { once.Do(func() { close(b.written) }) }}
	ctx = httptrace.WithClientTrace(ctx, trace)
	retryTick := time.NewTicker(10 * time.Millisecond)
	defer retryTick.Stop()
	for last := error(nil); ; {
		id, retry, err := b.postOnce(ctx)
		switch {
		case err == nil && b.id != uuid.Nil && b.id != id:
			return fmt.Errorf("one key gave two messages, %s and %s", b.id, id)
		case err == nil && b.id != uuid.Nil:
			return nil
		case err == nil:
			b.id = id // post once more: the answer must be the same
		case !retry:
			return err
		default:
			last = err
		}
		select {
		case <-retryTick.C:
		case <-ctx.Done():
			return fmt.Errorf("posting: %w, after: %w", ctx.Err(), last)
		}
	}
}

const blastBody = `{"subject":"The practice is closed on Monday","body":"We open again on Tuesday at eight.",
	"recipients":{"portal_user_ids":[],"groups":["all_portal_users"]},"undo_seconds":0}`

func (b *blast) postOnce(ctx context.Context) (id uuid.UUID, retry bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/v1/messages", strings.NewReader(blastBody))
	if err != nil {
		return uuid.Nil, false, err
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", b.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return uuid.Nil, true, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return uuid.Nil, true, err
	}
	if resp.StatusCode != http.StatusAccepted {
		return uuid.Nil, resp.StatusCode >= 500, fmt.Errorf("sending: %s: %s", resp.Status, text)
	}
	var sent struct{ ID uuid.UUID }
	err = json.Unmarshal(text, &sent)
	return sent.ID, false, err
}

// settle waits until the blast is processed completely.
func (b *blast) settle() {
	b.Helper()
	if err := <-b.posted; err != nil {
		b.Fatalf("%v. %s", err, b.state())
	}
	eventually(b, 20*time.Millisecond, "settling a blast", b.state, func(ctx context.Context) bool {
		var settled bool
		err := b.pool.QueryRow(ctx, `
			SELECT status = 'sent' AND NOT EXISTS (SELECT FROM record.chunks c WHERE c.message_id = m.message_id AND alert_state = 'pending')
			FROM record.messages m WHERE message_id = $1`, b.id).Scan(&settled)
		return err == nil && settled
	})
}

// state describes the progress of the blast, for a failure.
func (b *blast) state() string {
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	var text string
	err := b.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT row_to_json(m) FROM (SELECT status, audience, delivered, alert_accepted, alert_failed, alert_skipped, alert_unknown
		                 FROM record.messages JOIN app.sends USING (message_id) WHERE idempotency_key = $1) m)::text, 'no message')
		    || ' chunks: '   || (SELECT coalesce(json_object_agg(alert_state, n), '{}') FROM (SELECT alert_state, count(*) n
		                         FROM record.chunks JOIN app.sends USING (message_id) WHERE idempotency_key = $1 GROUP BY 1) c)
		    || ' position: ' || (SELECT seq FROM record.position)
		    || ' unanswered: ' || (SELECT count(*) FROM app.attempts WHERE answer IS NULL)
		    || ' waiting: '  || (SELECT coalesce(json_agg(json_build_array(chunk, tries, reason)), '[]') FROM app.alert_work)
		    || ' parked: '   || (SELECT coalesce(json_agg(json_build_array(consumer, seq, reason)), '[]') FROM app.parked)
		    || ' check: '    || (SELECT coalesce(string_agg(detail, ''), '') FROM app.record_check)`, b.key).Scan(&text)
	if err != nil {
		text = err.Error()
	}
	last, err := b.recorded(ctx)
	return fmt.Sprintf("State: %s; %d alerts taken; events on the record: %d, %v", text, b.fake.Load().Count(), last, err)
}
