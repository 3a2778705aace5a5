package torture

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// The commit points of a replay, as in docs/life-of-a-message.md. The api plans and
// starts a replay, and the notify worker runs it.
var replayPoints = []struct {
	name    string
	part    string
	crash   crash // tested before the step and after it
	limited bool  // SendGrid limits the rate first, for longer than a handler waits
	before  bool  // a crash before the step leaves unknown alerts
	after   bool  // a crash after the step leaves unknown alerts
}{
	{name: "freeze the set", part: partAPI, crash: crash{sql: "commit", since: "INTO app.replay_sets"}},
	{name: "publish replay.planned", part: partAPI, crash: crash{publish: events.TypeReplayPlanned}},
	{name: "publish replay.started", part: partAPI, crash: crash{publish: events.TypeReplayStarted}},
	{name: "take a part", part: partNotify, crash: crash{sql: "commit", since: "INTO app.alert_repeats"}},
	{name: "claim a request", part: partNotify, crash: crash{sql: "INSERT INTO app.attempts"}, after: true},
	{name: "call SendGrid", part: partNotify, crash: crash{call: true}, before: true, after: true},
	{name: "keep the answer", part: partNotify, crash: crash{sql: "UPDATE app.attempts"}, before: true},
	{name: "publish alerts.accepted", part: partNotify, crash: crash{publish: events.TypeAlertsAccepted}},
	{name: "close the part", part: partNotify, crash: crash{sql: "SET state = CASE WHEN amends"}},
	{name: "put a part off", part: partNotify, crash: crash{sql: "leased_until = NULL, due_at = $4"}, limited: true},
	{name: "publish replay.completed", part: partNotify, crash: crash{publish: events.TypeReplayCompleted}},
}

// One part crashes at each commit point of a replay, before and after it, and the next
// instance of that part finishes the replay: no recipient is alerted twice, and the
// alerts that SendGrid may have taken are unknown.
func TestCrashAtEachCommitPointOfAReplay(t *testing.T) {
	t.Parallel()
	for _, p := range replayPoints {
		for _, after := range []bool{false, true} {
			when, unknown := "before", p.before
			if after {
				when, unknown = "after", p.after
			}
			c := p.crash
			c.after = after
			t.Run(p.name+"/"+when, func(t *testing.T) {
				t.Parallel()
				in := newInside(t)
				in.failHalf()
				if p.limited {
					in.fake.Queue(sendgridfake.RateLimit(4 * time.Second))
				}
				in.replayFailed(p.part, &c)
				in.verdict(unknown)
			})
		}
	}
}

// failHalf sends a blast, of which SendGrid refuses every second recipient.
func (in *inside) failHalf() {
	in.Helper()
	in.startInstance(partRecorder, nil)
	in.startInstance(partFanout, nil)
	in.refusing.Store(true)
	in.startInstance(partNotify, nil)
	in.send(in.startInstance(partAPI, nil), uuid.NewString(), false)
	in.settle()
	in.refusing.Store(false)
}

// replayFailed replays all failed alerts, while one part crashes and is started again.
func (in *inside) replayFailed(part string, c *crash) {
	in.Helper()
	plan := func(ctx context.Context, l *instance) (id uuid.UUID, err error) {
		b := in.replaysOf(l)
		r, err := b.Plan(ctx, "staff:s1", replay.Filter{MessageID: &in.message}, "again")
		if err == nil {
			_, err = b.Start(ctx, "staff:s1", r.ID, 0)
		}
		return r.ID, err
	}
	if part == partAPI {
		first := in.startInstance(partAPI, c)
		first.run(func(ctx context.Context) error { _, err := plan(ctx, first); return err })
		in.awaitCrash(first)
	}
	id, err := plan(in.Context(), in.startInstance(partAPI, nil))
	if err != nil {
		in.Fatal(err)
	}
	if part == partNotify {
		in.awaitCrash(in.replayer(c))
	}
	in.replayer(nil)
	eventually(in, 20*time.Millisecond, "the replay", in.state, func(ctx context.Context) bool {
		var done bool
		err := in.admin.QueryRow(ctx, `SELECT status = 'completed' AND count > 100 AND accepted + failed + skipped + unknown + left_out = count
			FROM record.replays WHERE replay_id = $1`, id).Scan(&done)
		return err == nil && done
	})
}

func (in *inside) replaysOf(l *instance) *replay.Replays {
	watcher := position.NewWatcher(l.pool, nil)
	l.run(watcher.Run)
	return replay.New(replay.Config{Pool: l.pool, Facts: facts.Publisher{Source: "/api", Send: l.publish, Reached: watcher.Wait}})
}

// replayer starts an instance of a notify worker that only runs replays.
func (in *inside) replayer(c *crash) *instance {
	l := newInstance(in, in.server, in.url, store.RoleNotify, c)
	watcher := position.NewWatcher(l.pool, nil)
	l.run(watcher.Run)
	w := notify.New(notify.Config{Pool: l.pool, Position: watcher, Facts: facts.Publisher{Send: l.publish}, Send: l.call(in.sends.Send)})
	l.run(w.RunReplays)
	return l
}
