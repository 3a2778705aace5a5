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
	"postern/internal/recorder/inboxrows"
	"postern/internal/recorder/rebuild"
)

// open lists the work that is neither finished nor held. Work is held by a pause, by a
// replay that is not started or is paused, or until a time that the sender chose.
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

// settle waits until all work that is not held is finished. When nothing changes, it
// advances the clocks by a minute, so that work due at a later time is done.
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
	c.checkReasons()
}

// unsettled describes the open work, "" for none.
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
			return fmt.Sprintf("%s has %d events pending and %d in progress", config.Durable, info.NumPending, info.NumAckPending), nil
		}
	}
	rows, err := c.admin.Query(ctx, open)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	slices.Sort(all)
	// What one consumer published before it was found idle may be what another, found idle earlier, has
	// not seen.
	later, err := c.log.State(ctx)
	if err == nil && later.Last > state.Last {
		return fmt.Sprintf("the record grew from %d to %d", state.Last, later.Last), nil
	}
	return fmt.Sprint(all)[1 : len(fmt.Sprint(all))-1], err
}

// finish ends all pauses, waits until all work is finished, and checks the guarantees.
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

// A history is the record's data about attempts.
type history struct {
	outcomes map[alertKey][]events.AlertState // as they were published
	reasons  map[alertKey]string
	failed   map[alertKey]bool // by a report of SendGrid's
	replayOf map[alertKey]uuid.UUID
}

// verdict checks, over the whole sequence:
//
//   - every delivery with an accepted outcome has exactly one mail of that attempt, and
//     the record has an outcome for every mail that was sent;
//   - an alert was sent again only if the previous attempt failed, was reported as
//     failed, or is unknown;
//   - a replay has an outcome for each alert that its plan counts, and sent all of them
//     if only SendGrid's answers affected them;
//   - no event is parked, and the tables match the record.
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
			c.Errorf("%d mails of %+v were sent", n, key)
		}
		if known := h.outcomes[key]; !slices.ContainsFunc(known, func(s events.AlertState) bool { return s == events.AlertAccepted || s == events.AlertUnknown }) {
			c.Errorf("a mail of %+v was sent, and the record has the outcomes %v %q", key, known, h.reasons[key])
		}
		for before := 1; before < key.attempt; before++ {
			key := alertKey{key.message, key.no, before}
			if states := h.outcomes[key]; mails[key] > 0 && !h.failed[key] && !slices.Contains(states, events.AlertUnknown) {
				c.Errorf("a mail of %+v was sent again, and the record has the outcomes %v", key, states)
			}
		}
	}
	for key, states := range h.outcomes {
		if slices.Contains(states, events.AlertAccepted) && mails[key] != 1 {
			c.Errorf("on the record %+v was accepted, and %d mails of it were sent", key, mails[key])
		}
	}
	c.checkReplays(h)
	c.checkTables()
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
		c, err := inboxrows.Of(&e)
		if err != nil {
			return err
		}
		if chunks[c.Message] == nil {
			chunks[c.Message] = map[int][]int32{}
		}
		chunks[c.Message][c.Key.Chunk] = nil
		for _, row := range c.Rows {
			for place := range row.Members.All() {
				chunks[c.Message][c.Key.Chunk] = append(chunks[c.Message][c.Key.Chunk], row.Block.At(place))
			}
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

// skippable are the reasons for which a replay may skip an alert that its plan counts:
// the message or the account has changed since.
var skippable = []string{"the message was recalled", "the message was cancelled", "the account is inactive", "no e-mail address", "opted out of e-mails"}

func (c *crossing) checkReplays(h history) {
	c.Helper()
	outcomes := map[uuid.UUID]map[events.AlertState]int{}
	for key, id := range h.replayOf {
		if outcomes[id] == nil {
			outcomes[id] = map[events.AlertState]int{}
		}
		last := h.outcomes[key][len(h.outcomes[key])-1]
		outcomes[id][last]++
		if reason := h.reasons[key]; last == events.AlertSkipped && !slices.Contains(skippable, reason) && !isDead(reason) {
			c.Errorf("replay %s skipped %+v: %s", id, key, reason)
		}
	}
	for _, id := range c.replays {
		r, err := c.replayAPI.Get(c.Context(), id)
		c.must(err)
		c.Logf("replay %s is %s: %d planned, %d sent again, %d skipped, %d left out %v", id, r.Status, r.Count, r.Accepted, r.Skipped, r.LeftOut, r.LeftOutBy)
		switch {
		case r.Status == replay.Planned || r.Status == replay.Cancelled:
		case r.Status != replay.Completed:
			c.Errorf("replay %s is %s, although nothing holds it", id, r.Status)
		case r.Done() != r.Count:
			c.Errorf("replay %s has outcomes for %d of %d alerts", id, r.Done(), r.Count)
		case c.undisturbed[id] && r.Skipped+r.LeftOut > 0:
			c.Errorf("replay %s counted %d, and skipped %d and left out %d, although nothing had changed", id, r.Count, r.Skipped, r.LeftOut)
		case !maps.Equal(counts(r), nonzero(outcomes[id])):
			c.Errorf("replay %s counts %v, its outcomes are %v", id, counts(r), outcomes[id])
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

// checkTables compares the tables with the record and the counters of messages with
// their deliveries, and checks every event against its schema.
func (c *crossing) checkTables() {
	c.Helper()
	for _, id := range c.messages {
		var counted, stored [4]int
		err := c.admin.QueryRow(c.Context(), `
			SELECT count(*) FILTER (WHERE alert_state = 'accepted'), count(*) FILTER (WHERE alert_state = 'failed'),
			       count(*) FILTER (WHERE alert_state = 'skipped'), count(*) FILTER (WHERE alert_state = 'unknown')
			FROM record.delivery_status WHERE message_id = $1`, id).Scan(&counted[0], &counted[1], &counted[2], &counted[3])
		c.must(err)
		err = c.admin.QueryRow(c.Context(), `SELECT alert_accepted, alert_failed, alert_skipped, alert_unknown FROM record.messages
			WHERE message_id = $1`, id).Scan(&stored[0], &stored[1], &stored[2], &stored[3])
		c.must(err)
		if diff := cmp.Diff(counted, stored); diff != "" {
			c.Errorf("the counters of message %s (accepted, failed, skipped, unknown) don't match its deliveries (-deliveries +message):\n%s", id, diff)
		}
	}
	compared, err := (&rebuild.Rebuild{Log: c.log, Pool: c.admin}).Check(c.Context())
	c.must(err)
	for _, one := range compared {
		if !one.Same() {
			c.Errorf("the table %s does not match the record", one.Table)
		}
	}
	eventlogtest.Check(c, c.log)
}

// checkReasons checks, in a settled system, that a pause accounts for all unfinished
// work.
func (c *crossing) checkReasons() {
	c.Helper()
	pauses, err := c.alerting.Pauses(c.Context())
	c.must(err)
	for _, id := range c.messages {
		var pending int
		c.must(c.admin.QueryRow(c.Context(), `SELECT count(*) FROM record.chunks WHERE message_id = $1 AND alert_state = 'pending'`, id).Scan(&pending))
		if pause := pause.Of(pauses, id); pending > 0 && (pause == nil || pause.Alerts == 0) {
			c.Errorf("%d chunks of message %s wait, but no pause holds them: %v", pending, id, pauses)
		}
	}
	for _, id := range c.replays {
		r, err := c.replayAPI.Get(c.Context(), id)
		c.must(err)
		if r.Status == replay.Running && len(r.Held) == 0 {
			c.Errorf("replay %s waits, %d of %d done, without a reason", id, r.Done(), r.Count)
		}
	}
}
