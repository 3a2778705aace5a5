package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog/eventlogtest"
	"postern/internal/giveup"
)

// An outcome is the result of a message: the deliveries and the states of the alerts on
// the record, and the alerts that the stand-in for SendGrid took.
type outcome struct {
	audience map[string]string // expected recipients: portal user id → address
	states   map[string]string // deliveries: portal user id → state of the alert
	taken    map[string]int    // address → alerts that SendGrid accepted
}

// A querier is a pool, or a transaction that reads rows and counters from one snapshot:
// the late answer of a worker that hung changes both.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// load reads the deliveries and the states of the alerts of a message.
func (o *outcome) load(ctx context.Context, db querier, message uuid.UUID) error {
	rows, err := db.Query(ctx, `
		SELECT u.portal_user_id, d.alert_state FROM record.delivery_status d JOIN app.portal_users u USING (portal_user_no)
		WHERE d.message_id = $1`, message)
	if err != nil {
		return fmt.Errorf("reading the deliveries: %w", err)
	}
	o.states = map[string]string{}
	var id, state string
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		if o.states[id] != "" {
			return fmt.Errorf("%s has two deliveries", id)
		}
		o.states[id] = state
		return nil
	})
	return err
}

// judge gives the faults: an expected delivery that is missing, an unexpected one, an
// alert sent twice, or an alert that was lost and is not unknown on the record.
func (o *outcome) judge() (wrong []string, unknown int) {
	fault := func(format string, args ...any) {
		if len(wrong) < 20 {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	least, most := map[string]int{}, map[string]int{}
	for id, address := range o.audience {
		state, has := o.states[id]
		switch {
		case !has:
			fault("%s has no delivery", id)
		case address == "" && state != "skipped":
			fault("%s has no address, and the alert is %s", id, state)
		case address == "":
		case state == "accepted":
			least[address]++
			most[address]++
		case state == "unknown":
			unknown++
			most[address]++
		default:
			fault("the alert of %s is %s", id, state)
		}
	}
	for id := range o.states {
		if _, expected := o.audience[id]; !expected {
			fault("%s has a delivery, but is not in the audience", id)
		}
	}
	for address, n := range o.taken {
		if n > most[address] {
			fault("%s was alerted %d times, and the record has at most %d alerts", address, n, most[address])
		}
	}
	for address, n := range least {
		if o.taken[address] < n {
			fault("%s was alerted %d times, and the record has %d accepted alerts", address, o.taken[address], n)
		}
	}
	slices.Sort(wrong)
	return wrong, unknown
}

// verdict checks the guarantees for a settled blast, and gives the number of unknown
// alerts.
func (b *blast) verdict() (unknown int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), giveup.After)
	defer cancel()
	snapshot, err := b.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = snapshot.Rollback(ctx) }()
	o := outcome{audience: b.people.audience, taken: b.fake.Load().Counts()}
	if err := o.load(ctx, snapshot, b.id); err != nil {
		b.Fatal(err)
	}
	wrong, unknown := o.judge()
	for _, w := range wrong {
		b.Errorf("%s", w)
	}
	tables(ctx, b, snapshot, b.id, o.states)
	if err := snapshot.Rollback(ctx); err != nil {
		b.Fatal(err)
	}
	var same struct {
		Same   bool
		Tables json.RawMessage
	}
	if err := json.Unmarshal([]byte(b.verb("rebuild", "--check", "--json")), &same); err != nil || !same.Same {
		b.Errorf("rebuild --check: %v %s", err, same.Tables)
	}
	return unknown
}

// tables compares the counters with the rows and the events with the chunks, and checks
// that no event is parked.
func tables(ctx context.Context, t testing.TB, db querier, message uuid.UUID, states map[string]string) {
	t.Helper()
	counted := map[string]int{}
	for _, state := range states {
		counted[state]++
	}
	var delivered, chunks, events, accepted, failed, skipped, unknown int
	var parked string
	err := db.QueryRow(ctx, `
		SELECT delivered, alert_accepted, alert_failed, alert_skipped, alert_unknown,
		       (SELECT count(*) FROM record.chunks c WHERE c.message_id = m.message_id),
		       (SELECT count(*) FROM record.events e WHERE e.message_id = m.message_id AND type = 'deliveries.created' AND projected),
		       (SELECT coalesce(json_agg(json_build_array(consumer, seq, type, tries, reason))::text, '') FROM app.parked)
		FROM record.messages m WHERE message_id = $1`, message).
		Scan(&delivered, &accepted, &failed, &skipped, &unknown, &chunks, &events, &parked)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case parked != "":
		t.Errorf("parked: %s", parked)
	case delivered != len(states) || events != chunks:
		t.Errorf("the message counts %d deliveries, there are %d; %d chunks, %d events", delivered, len(states), chunks, events)
	case accepted != counted["accepted"] || failed != counted["failed"] || skipped != counted["skipped"] || unknown != counted["unknown"]:
		t.Errorf("the message counts %d accepted, %d failed, %d skipped, %d unknown; the deliveries have %v", accepted, failed, skipped, unknown, counted)
	}
}

// checkRecord checks every event against its schema, and compares the stream with the
// second copy.
func (s *system) checkRecord() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), giveup.After)
	defer cancel()
	log, err := s.log(ctx)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	eventlogtest.Check(s, log)
	s.verb("repair", "--check")
}

// The outcome's judge method finds every kind of fault.
func TestJudgeFindsEveryFault(t *testing.T) {
	people := map[string]string{"a": "a@x", "b": "b@x", "c": "", "d": "a@x"}
	good := func() outcome {
		return outcome{people, map[string]string{"a": "accepted", "b": "unknown", "c": "skipped", "d": "accepted"}, map[string]int{"a@x": 2}}
	}
	for name, spoil := range map[string]func(*outcome){
		"a delivery is missing":       func(o *outcome) { delete(o.states, "c") },
		"a surplus delivery":          func(o *outcome) { o.states["e"] = "skipped" },
		"an alert twice":              func(o *outcome) { o.taken["a@x"] = 3 },
		"an unknown one twice":        func(o *outcome) { o.taken["b@x"] = 2 },
		"an alert lost":               func(o *outcome) { o.taken["a@x"] = 1 },
		"an alert without an address": func(o *outcome) { o.states["c"] = "accepted" },
		"an alert still pending":      func(o *outcome) { o.states["a"] = "pending" },
		"an alert to another address": func(o *outcome) { o.taken["z@x"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			if wrong, unknown := o.judge(); len(wrong) > 0 || unknown != 1 {
				t.Fatalf("a good outcome: %v, %d unknown", wrong, unknown)
			}
			spoil(&o)
			if wrong, _ := o.judge(); len(wrong) == 0 {
				t.Error("judge found no fault")
			}
		})
	}
}
