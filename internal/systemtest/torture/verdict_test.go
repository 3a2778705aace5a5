package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog/eventlogtest"
)

// An outcome is what a message came to: who has it, and what became of the
// alerts, as the record says and as the stand-in for SendGrid says.
type outcome struct {
	audience map[string]string // portal user id → address, who is to have it
	states   map[string]string // portal user id → state of the alert, who has it
	taken    map[string]int    // address → alerts that were accepted
}

// A querier is a pool, or a transaction in which rows and counters are of one moment: the
// answer of a worker that hung still comes, and changes both.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// load reads what the record says of a message.
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
			return fmt.Errorf("%s has it twice", id)
		}
		o.states[id] = state
		return nil
	})
	return err
}

// judge gives what is wrong: an expected delivery that is missing, one that is not
// expected, an alert that went twice, or got lost without being named.
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
			fault("%s has not got it", id)
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
			fault("%s has it, who is not in the audience", id)
		}
	}
	for address, n := range o.taken {
		if n > most[address] {
			fault("%s was alerted %d times, and the record knows of %d", address, n, most[address])
		}
	}
	for address, n := range least {
		if o.taken[address] < n {
			fault("%s was alerted %d times, and the record says %d", address, o.taken[address], n)
		}
	}
	slices.Sort(wrong)
	return wrong, unknown
}

// verdict holds a settled blast to what was promised, and gives how many alerts
// are unknown.
func (b *blast) verdict() (unknown int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), deadline)
	defer cancel()
	moment, err := b.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = moment.Rollback(ctx) }()
	o := outcome{audience: b.people.audience, taken: b.fake.Load().Counts()}
	if err := o.load(ctx, moment, b.id); err != nil {
		b.Fatal(err)
	}
	wrong, unknown := o.judge()
	for _, w := range wrong {
		b.Errorf("%s", w)
	}
	tables(ctx, b, moment, b.id, o.states)
	if err := moment.Rollback(ctx); err != nil {
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

// tables holds the counters to the rows, the events to the chunks, and wants
// nothing parked.
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
		t.Errorf("the message says %d deliveries, there are %d; %d chunks of %d events", delivered, len(states), chunks, events)
	case accepted != counted["accepted"] || failed != counted["failed"] || skipped != counted["skipped"] || unknown != counted["unknown"]:
		t.Errorf("the message says %d accepted, %d failed, %d skipped, %d unknown; the deliveries say %v", accepted, failed, skipped, unknown, counted)
	}
}

// checkRecord holds every event of the record to its schema, and the stream to
// the copy.
func (s *system) checkRecord() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	log, err := s.log(ctx)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	eventlogtest.Check(s, log)
	s.verb("repair", "--check")
}

// The judge must not be blind.
func TestTheJudgeSees(t *testing.T) {
	people := map[string]string{"a": "a@x", "b": "b@x", "c": "", "d": "a@x"}
	fair := func() outcome {
		return outcome{people, map[string]string{"a": "accepted", "b": "unknown", "c": "skipped", "d": "accepted"}, map[string]int{"a@x": 2}}
	}
	for name, spoil := range map[string]func(*outcome){
		"a delivery is missing":          func(o *outcome) { delete(o.states, "c") },
		"a delivery too many":            func(o *outcome) { o.states["e"] = "skipped" },
		"an alert twice":                 func(o *outcome) { o.taken["a@x"] = 3 },
		"an unknown one twice":           func(o *outcome) { o.taken["b@x"] = 2 },
		"an alert lost":                  func(o *outcome) { o.taken["a@x"] = 1 },
		"an alert to who has no address": func(o *outcome) { o.states["c"] = "accepted" },
		"an alert still pending":         func(o *outcome) { o.states["a"] = "pending" },
		"an alert to a stranger":         func(o *outcome) { o.taken["z@x"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := fair()
			if wrong, unknown := o.judge(); len(wrong) > 0 || unknown != 1 {
				t.Fatalf("a fair outcome: %v, %d unknown", wrong, unknown)
			}
			spoil(&o)
			if wrong, _ := o.judge(); len(wrong) == 0 {
				t.Error("it saw nothing")
			}
		})
	}
}
