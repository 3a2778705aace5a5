package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/recorder"
)

// open lists what is not at its end and not held: by a pause, by an operator who
// has not started or has paused a replay, or by a time that a sender chose.
const open = `
	WITH held AS (SELECT m.message_id, h.pause IS NOT NULL AS held FROM record.messages m LEFT JOIN record.held_messages h USING (message_id))
	SELECT 'message ' || message_id || ' is ' || status FROM record.messages WHERE status = 'sending'
	UNION ALL SELECT 'chunk ' || chunk || ' of ' || message_id || ' is pending' FROM record.chunks JOIN held USING (message_id) WHERE alert_state = 'pending' AND NOT held
	UNION ALL SELECT 'chunk ' || chunk || ' of ' || message_id || ' waits: ' || reason FROM app.alert_work JOIN held USING (message_id) WHERE kind = 'first' AND NOT held
	UNION ALL SELECT 'replay ' || replay_id || ' is running' FROM record.replays r WHERE status = 'running'
	    AND (SELECT bool_and(w.pause IS NOT NULL) FROM app.alerts_waiting w WHERE w.replay_id = r.replay_id) IS NOT true
	UNION ALL SELECT 'part ' || part || ' of ' || replay_id || ' is open: ' || p.reason FROM app.alert_work p JOIN held USING (message_id) JOIN record.replays r USING (replay_id)
	    WHERE done_at IS NULL AND r.status NOT IN ('planned', 'paused') AND (wound_up OR NOT held)
	UNION ALL SELECT 'event ' || seq || ' is parked: ' || reason FROM app.parked`

// settle lets everything come to its end that nothing holds. Clocks go on by a
// minute whenever nothing has changed, so that what waits for a time gets there.
func (c *crossing) settle() {
	c.Helper()
	last, still := "", 0
	eventually(c, 20*time.Millisecond, "settling", func() string { return last }, func(ctx context.Context) bool {
		c.revive()
		now, err := c.unsettled(ctx)
		if err != nil { // Postgres or NATS is busy
			return false
		}
		if now == "" {
			return true
		}
		if still++; now != last {
			still = 0
		}
		if last = now; still >= 10 {
			c.pass(time.Minute)
			still = 0
		}
		return false
	})
	c.explained()
}

// unsettled says what is open, "" for nothing.
func (c *crossing) unsettled(ctx context.Context) (string, error) {
	state, err := c.log.State(ctx)
	if err != nil {
		return "", err
	}
	var at uint64
	if err := c.admin.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&at); err != nil {
		return "", err
	}
	if at < state.Last {
		return fmt.Sprintf("the recorder is at %d of %d", at, state.Last), nil
	}
	for _, config := range eventlog.ConsumerConfigs() {
		consumer, err := c.log.JetStream().Consumer(ctx, eventlog.Stream, config.Durable)
		if err != nil {
			return "", err
		}
		if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
			return fmt.Sprintf("%s has %d events to come and %d in hand", config.Durable, info.NumPending, info.NumAckPending), nil
		}
	}
	rows, err := c.admin.Query(ctx, open)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	slices.Sort(all)
	return fmt.Sprint(all)[1 : len(fmt.Sprint(all))-1], err
}

// finish releases everything that holds anything, lets it settle, and holds what
// is left to what was promised.
func (c *crossing) finish() {
	c.Helper()
	c.resume(nil)
	for _, id := range c.messages {
		c.resume(&id)
	}
	for _, id := range c.replays {
		c.steer(id, (*replay.Replays).Resume)
	}
	c.settle()
	c.verdict()
}

// An alertKey is one attempt at the alert of one delivery.
type alertKey struct {
	message uuid.UUID
	no      int32
	attempt int
}

// A history is what the record says of attempts.
type history struct {
	outcomes map[alertKey][]events.AlertState // as they were published
	reasons  map[alertKey]string
	failed   map[alertKey]bool // by a report of SendGrid's
	replayOf map[alertKey]uuid.UUID
}

// verdict checks, over the whole sequence:
//
//   - every delivery of an accepted outcome has exactly one mail of that attempt,
//     and no mail went out of which the record does not know;
//   - an alert went out again only where the attempt before failed, was reported
//     as failed or is named as unknown;
//   - a replay came to an end for each alert that its plan counts, and sent each of
//     them where only SendGrid's answers decided;
//   - nothing is parked, and the tables are what the record says.
func (c *crossing) verdict() {
	c.Helper()
	h := c.history()
	mails := map[alertKey]int{}
	for _, id := range c.messages {
		for no, attempts := range c.taken(id) {
			for _, attempt := range attempts {
				mails[alertKey{id, no, attempt}]++
			}
		}
	}
	for key, n := range mails {
		if n > 1 {
			c.Errorf("%d mails of %+v went out", n, key)
		}
		if known := h.outcomes[key]; !slices.ContainsFunc(known, func(s events.AlertState) bool { return s == events.AlertAccepted || s == events.AlertUnknown }) {
			c.Errorf("a mail of %+v went out, and the record says %v %q", key, known, h.reasons[key])
		}
		for before := 1; before < key.attempt; before++ {
			key := alertKey{key.message, key.no, before}
			if states := h.outcomes[key]; mails[key] > 0 && !h.failed[key] && !slices.Contains(states, events.AlertUnknown) {
				c.Errorf("a mail of %+v went out again, and the record says %v of it", key, states)
			}
		}
	}
	for key, states := range h.outcomes {
		if slices.Contains(states, events.AlertAccepted) && mails[key] != 1 {
			c.Errorf("the record says that %+v was accepted, and %d mails of it went out", key, mails[key])
		}
	}
	c.replaysHold(h)
	c.tablesHold()
}

// taken gives, by portal user, the attempts at a message's alerts that SendGrid took.
func (c *crossing) taken(message uuid.UUID) map[int32][]int {
	c.Helper()
	rows, err := c.admin.Query(c.Context(), `
		SELECT a.request_id, a.attempt, ARRAY(SELECT portal_user_no FROM record.deliveries d
		    WHERE d.message_id = a.message_id AND d.chunk = a.chunk ORDER BY portal_user_no)
		FROM app.attempts a WHERE a.message_id = $1`, message)
	c.must(err)
	type call struct {
		attempt int
		nos     []int32
	}
	calls := map[uuid.UUID]call{}
	var id uuid.UUID
	var one call
	_, err = pgx.ForEachRow(rows, []any{&id, &one.attempt, &one.nos}, func() error {
		calls[id] = call{one.attempt, slices.Clone(one.nos)}
		return nil
	})
	c.must(err)
	taken := map[int32][]int{}
	for m := range c.fake.Accepted() {
		if of, ours := calls[m.Attempt]; ours {
			no := of.nos[m.Position]
			taken[no] = append(taken[no], of.attempt)
		}
	}
	return taken
}

var errEnd = errors.New("the end of the record")

func (c *crossing) history() history {
	c.Helper()
	h := history{map[alertKey][]events.AlertState{}, map[alertKey]string{}, map[alertKey]bool{}, map[alertKey]uuid.UUID{}}
	chunks := map[uuid.UUID]map[int][]int32{}
	state, err := c.log.State(c.Context())
	c.must(err)
	err = c.log.Read(c.Context(), 1, 4096, 4<<20, func(run []eventlog.Stored) error {
		for _, s := range run {
			e, err := events.Parse(s.Header, s.Data)
			if err != nil {
				return err
			}
			if err := h.take(e, chunks); err != nil {
				return err
			}
			if s.Seq >= state.Last {
				return errEnd
			}
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		c.Fatal(err)
	}
	return h
}

func (h *history) take(e events.Event, chunks map[uuid.UUID]map[int][]int32) error {
	switch e.Type {
	case events.TypeDeliveriesCreated:
		d, err := events.Decode[events.DeliveriesCreated](e)
		if err != nil {
			return err
		}
		if chunks[d.MessageID] == nil {
			chunks[d.MessageID] = map[int][]int32{}
		}
		chunks[d.MessageID][d.Chunk] = nil
		for _, r := range d.Recipients {
			chunks[d.MessageID][d.Chunk] = append(chunks[d.MessageID][d.Chunk], r.PortalUserNo)
		}
	case events.TypeAlertsAccepted, events.TypeAlertsFailed, events.TypeAlertsSkipped, events.TypeAlertsUnknown:
		o, err := events.Decode[events.AlertOutcome](e)
		if err != nil {
			return err
		}
		differ := map[int32]events.AlertException{}
		for _, x := range o.Exceptions {
			differ[x.PortalUserNo] = x
		}
		for _, no := range chunks[o.MessageID][o.Chunk] {
			x, differs := differ[no]
			if !differs && o.ReplayID != nil {
				continue
			}
			if !differs {
				x = events.AlertException{State: o.State, Reason: o.Reason}
			}
			key := alertKey{o.MessageID, no, o.Attempt}
			h.outcomes[key] = append(h.outcomes[key], x.State)
			h.reasons[key] = x.Reason
			if o.ReplayID != nil {
				h.replayOf[key] = *o.ReplayID
			}
		}
	case events.TypeAlertsReported:
		reported, err := events.Decode[events.AlertsReported](e)
		if err != nil {
			return err
		}
		for _, request := range reported.Requests {
			for _, r := range request.Reports {
				if r.Failed() {
					h.failed[alertKey{reported.MessageID, r.PortalUserNo, request.Attempt}] = true
				}
			}
		}
	}
	return nil
}

// skippable are the reasons for which a replay may leave out an alert that its plan
// counts: the world has changed since.
var skippable = []string{"the message was recalled", "the message was cancelled", "the account is inactive", "no e-mail address"}

func (c *crossing) replaysHold(h history) {
	c.Helper()
	came := map[uuid.UUID]map[events.AlertState]int{}
	for key, id := range h.replayOf {
		if came[id] == nil {
			came[id] = map[events.AlertState]int{}
		}
		last := h.outcomes[key][len(h.outcomes[key])-1]
		came[id][last]++
		if reason := h.reasons[key]; last == events.AlertSkipped && !slices.Contains(skippable, reason) && !isDead(reason) {
			c.Errorf("replay %s skipped %+v: %s", id, key, reason)
		}
	}
	for _, id := range c.replays {
		r, err := c.book.Get(c.Context(), id)
		c.must(err)
		c.Logf("replay %s is %s: %d planned, %d sent again, %d skipped, %d left out %v", id, r.Status, r.Count, r.Accepted, r.Skipped, r.LeftOut, r.LeftOutBy)
		switch {
		case r.Status == replay.Planned || r.Status == replay.Cancelled:
		case r.Status != replay.Completed:
			c.Errorf("replay %s is %s, and nothing holds it", id, r.Status)
		case r.Done() != r.Count:
			c.Errorf("replay %s came to %d of %d", id, r.Done(), r.Count)
		case c.calm[id] && r.Skipped+r.LeftOut > 0:
			c.Errorf("replay %s counted %d, and skipped %d and left out %d although nothing had changed", id, r.Count, r.Skipped, r.LeftOut)
		case !maps.Equal(counts(r), nonzero(came[id])):
			c.Errorf("replay %s says %v, its outcomes say %v", id, counts(r), came[id])
		}
	}
}

func isDead(reason string) bool {
	const dead = "the e-mail address does not work"
	return len(reason) >= len(dead) && reason[:len(dead)] == dead
}

func counts(r replay.Replay) map[events.AlertState]int {
	return nonzero(map[events.AlertState]int{events.AlertAccepted: r.Accepted, events.AlertFailed: r.Failed,
		events.AlertSkipped: r.Skipped, events.AlertUnknown: r.Unknown})
}

func nonzero(all map[events.AlertState]int) map[events.AlertState]int {
	some := map[events.AlertState]int{}
	for state, n := range all {
		if n > 0 {
			some[state] = n
		}
	}
	return some
}

// tablesHold compares the tables with the record, the counters of messages with
// their deliveries, and wants every event to satisfy its schema.
func (c *crossing) tablesHold() {
	c.Helper()
	for _, id := range c.messages {
		var counted, said [4]int
		err := c.admin.QueryRow(c.Context(), `
			SELECT count(*) FILTER (WHERE alert_state = 'accepted'), count(*) FILTER (WHERE alert_state = 'failed'),
			       count(*) FILTER (WHERE alert_state = 'skipped'), count(*) FILTER (WHERE alert_state = 'unknown')
			FROM record.delivery_status WHERE message_id = $1`, id).Scan(&counted[0], &counted[1], &counted[2], &counted[3])
		c.must(err)
		err = c.admin.QueryRow(c.Context(), `SELECT alert_accepted, alert_failed, alert_skipped, alert_unknown FROM record.messages
			WHERE message_id = $1`, id).Scan(&said[0], &said[1], &said[2], &said[3])
		c.must(err)
		if diff := cmp.Diff(counted, said); diff != "" {
			c.Errorf("the counters of message %s (accepted, failed, skipped, unknown) are not its deliveries' (-deliveries +message):\n%s", id, diff)
		}
	}
	compared, err := (&recorder.Rebuild{Log: c.log, Pool: c.admin}).Check(c.Context())
	c.must(err)
	for _, one := range compared {
		if !one.Same() {
			c.Errorf("the table %s is not what the record says", one.Table)
		}
	}
	eventlogtest.Check(c, c.log)
}

// explained wants a reason for everything that is not at its end, in a system that has
// settled: nothing but a pause can hold it.
func (c *crossing) explained() {
	c.Helper()
	pauses, err := c.alerting.Pauses(c.Context())
	c.must(err)
	for _, id := range c.messages {
		var pending int
		c.must(c.admin.QueryRow(c.Context(), `SELECT count(*) FROM record.chunks WHERE message_id = $1 AND alert_state = 'pending'`, id).Scan(&pending))
		if pause := pause.Of(pauses, id); pending > 0 && (pause == nil || pause.Alerts == 0) {
			c.Errorf("%d chunks of message %s wait, and no pause says that it holds them: %v", pending, id, pauses)
		}
	}
	for _, id := range c.replays {
		r, err := c.book.Get(c.Context(), id)
		c.must(err)
		if r.Status == replay.Running && len(r.Held) == 0 {
			c.Errorf("replay %s waits, %d of %d done, and does not say why", id, r.Done(), r.Count)
		}
	}
}
