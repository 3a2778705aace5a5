package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/unsubscribe"
	"postern/internal/pace"
	"postern/internal/recorder/position"
	"postern/internal/text/language"
)

const (
	source = "/notify-worker"
	actor  = "process:notify-worker"

	// maxHandlerWait is the longest that a handler waits for SendGrid. For a longer wait
	// the chunk becomes a row of app.alert_work.
	maxHandlerWait = 3 * time.Second
	// handlerTries is how often a handler calls while SendGrid is unavailable.
	handlerTries = 4
	firstBackoff = 100 * time.Millisecond
	// longBackoff is the longest wait of a chunk before a retry: within a minute after
	// SendGrid is available again, all waiting alerts are sent.
	longBackoff = 45 * time.Second
	// mostHalvings is how many requests of a chunk SendGrid may refuse without naming a
	// recipient, each time that a worker takes the chunk, before it waits as a row.
	mostHalvings = 64
	// refusingFor is how long chunks are not halved for a refusal that SendGrid was found
	// to give to every request.
	refusingFor = 15 * time.Minute
	// inHandPoll is how often a worker looks at a chunk while another worker waits for the
	// answer to one of its requests.
	inHandPoll = time.Second
	// keepTimeout bounds one try to store an answer, keepBackoff the wait between two
	// tries, and keepAfterStop the tries of a worker that is stopped.
	keepTimeout   = 10 * time.Second
	keepBackoff   = time.Second
	keepAfterStop = 10 * time.Second
)

// Config holds a Worker's dependencies and settings.
type Config struct {
	Pool     *pgxpool.Pool
	Position *position.Watcher
	Facts    facts.Publisher // without its Source, which New sets
	// Send sends the alerts of a request, in the language of the context.
	Send   func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result
	Logger *slog.Logger
	// Last returns the sequence of the last event on the record.
	Last func(context.Context) (uint64, error)
	// Acked returns the sequence up to which every lane of the worker has acknowledged all
	// events, in any process; nil: not known. By it the worker notices that Postgres was
	// restored from older files.
	Acked func(context.Context) (uint64, error)
	// Within returns ctx within the trace of a message; nil: there are no traces.
	Within func(ctx context.Context, message uuid.UUID) context.Context
	// Pace lets blasts leave room for small messages; nil: for those of this Worker.
	Pace *pace.Pace
	// FailureLimit is the percentage of a chunk's alerts that may fail before the alerts of
	// its message pause automatically; 0: no limit.
	FailureLimit int
	// Unsubscribe makes the links with which recipients opt out; nil: alerts have none.
	Unsubscribe *unsubscribe.Key
}

// A Worker alerts chunks. Its methods are safe to call from many goroutines at
// once, and any number of Workers may share the work.
type Worker struct {
	Config
	id uuid.UUID // new for each start of a process: tells its claims from those of an earlier process

	mu     sync.Mutex
	inHand map[chunkKey]bool
	closed time.Time // SendGrid accepts no request before this time
	// refusing is the reason that SendGrid gives while it refuses every request, "" where
	// it accepts them. It does not count after refusingUntil.
	refusing      string
	refusingUntil time.Time
	furthest      uint64    // an event that the recorder has reached; see promotion.go
	lastWhole     uuid.UUID // see wasWhole

	knowsAcked atomic.Bool // furthest includes the result of Acked at the start

	// What several handlers do at the same time is done once, see group.go.
	settled  batcher[struct{}, bool]       // see isSettled
	whole    batcher[uuid.UUID, bool]      // see areWhole
	gate     batcher[struct{}, *group]     // see gather
	calling  chan struct{}                 // an element for each member of a group
	outcomes batcher[events.Event, uint64] // of members of groups; see publish
	worked   atomic.Int64                  // nanoseconds of the steps of groups since the last rest
	shared   steps                         // of chunks that are in no group

	replays *replay.Executor
}

type chunkKey struct {
	message uuid.UUID
	chunk   int
	part    int64
}

// New makes a Worker.
func New(c Config) *Worker {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Facts.Source = source
	if c.Within == nil {
		c.Within = func(ctx context.Context, _ uuid.UUID) context.Context { return ctx }
	}
	if c.Pace == nil {
		c.Pace = &pace.Pace{}
	}
	w := &Worker{Config: c, id: uuid.New(), inHand: map[chunkKey]bool{},
		replays: &replay.Executor{Pool: c.Pool, Facts: c.Facts}}
	w.settled = batcher[struct{}, bool]{most: math.MaxInt, run: w.areSettled}
	w.whole = batcher[uuid.UUID, bool]{most: math.MaxInt, run: w.areWhole}
	w.gate = batcher[struct{}, *group]{most: mostTogether, linger: gatherTime, run: w.gather}
	w.calling = make(chan struct{}, mostCalling)
	w.outcomes = batcher[events.Event, uint64]{most: mostOutcomes, linger: outcomesTime, run: w.send}
	w.shared.init(w, nil)
	return w
}

// Handle alerts the chunk of a deliveries.created event that is stored at seq. It needs
// only the event's headers. It returns nil once the chunk's outcome is recorded or the
// chunk waits in app.alert_work; then the event may be acknowledged.
func (w *Worker) Handle(ctx context.Context, e events.Event, seq uint64) error {
	if e.Chunk == nil {
		return fmt.Errorf("%w: deliveries.created without a chunk", events.ErrMalformed)
	}
	// An alert never arrives before its message can be read.
	if err := w.Position.Wait(ctx, seq); err != nil {
		return err
	}
	ref := chunkRef{message: e.MessageID, chunk: e.Chunk.Index, chunks: e.Chunk.Of, seq: seq}
	if err := w.yieldToRecorder(ctx, ref); err != nil {
		return err
	}
	if ref.chunks == 1 {
		w.Pace.Small()
		return w.alertOrDefer(ctx, ref, 0)
	}
	m, err := w.enter(ctx)
	if err != nil {
		return err
	}
	return w.alertOrDeferAs(ctx, m, ref, 0)
}

// stalled is how long the recorder's position may stay unchanged before alerts no longer
// wait for the rest of their message. It is counted from the last move of the position,
// so all chunks together wait only once.
const stalled = 500 * time.Millisecond

// yieldToRecorder waits until all deliveries of a message can be read before its alerts
// begin. A thousand alerts cost Postgres and the processors about as much as recording a
// thousand deliveries, and the inbox comes first. It does not wait where nothing is being
// recorded.
func (w *Worker) yieldToRecorder(ctx context.Context, ref chunkRef) error {
	for ref.chunks > 1 && !w.wasWhole(ref.message) {
		changed := w.Position.Changed()
		whole, err := w.whole.do(ctx, ref.message)
		if err != nil {
			return fmt.Errorf("looking whether message %s can be read whole: %w", ref.message, err)
		}
		rest := stalled - w.Position.Idle()
		if whole || rest <= 0 {
			return nil
		}
		timer := time.NewTimer(rest)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// wasWhole says whether all deliveries of a message could be read already when a handler last
// asked. It knows one message: usually there is one blast at a time.
func (w *Worker) wasWhole(message uuid.UUID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastWhole == message
}

// areWhole says for each of the messages whether all its deliveries can be read.
func (w *Worker) areWhole(ctx context.Context, messages []uuid.UUID) ([]bool, error) {
	rows, err := w.Pool.Query(ctx, `SELECT message_id FROM record.messages WHERE message_id = ANY($1) AND status <> 'sending'`, messages)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, err
	}
	whole := make([]bool, len(messages))
	for i, message := range messages {
		whole[i] = slices.Contains(found, message)
	}
	if len(found) > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lastWhole = found[0]
	}
	return whole, nil
}

// alertOrDefer alerts a chunk now, or stores when to try again.
func (w *Worker) alertOrDefer(ctx context.Context, ref chunkRef, tries int) error {
	if err := w.awaitSettled(ctx); err != nil {
		return err
	}
	return w.alertOrDeferAs(ctx, w.alone(), ref, tries)
}

// alertOrDeferAs is alertOrDefer after the gate.
func (w *Worker) alertOrDeferAs(ctx context.Context, m *member, ref chunkRef, tries int) error {
	defer m.leave(w)
	if !w.take(ref) {
		return fmt.Errorf("chunk %d of message %s is in hand already", ref.chunk, ref.message)
	}
	defer w.giveBack(ref)
	again, err := w.alert(w.Within(ctx, ref.message), m, ref)
	if err != nil {
		return fmt.Errorf("alerting chunk %d of message %s: %w", ref.chunk, ref.message, err)
	}
	if again == nil {
		if tries == 0 {
			return nil // it never waited
		}
		return w.clearRetry(ctx, ref, tries)
	}
	if again.held {
		tries = max(tries-1, 0) // this was not a try
	}
	return w.deferRetry(ctx, ref, *again, tries)
}

// take reserves a chunk, so that two handlers of one process never work on it at once: a
// redelivery can come while a handler is still running.
func (w *Worker) take(ref chunkRef) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := chunkKey{ref.message, ref.chunk, ref.partNr()}
	if w.inHand[key] {
		return false
	}
	w.inHand[key] = true
	return true
}

func (w *Worker) giveBack(ref chunkRef) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inHand, chunkKey{ref.message, ref.chunk, ref.partNr()})
}

// later says when and why a chunk is to be tried again.
type later struct {
	due    time.Time // zero: after the next backoff
	reason string
	held   bool // by a pause or by another worker's request: no request was made
}

// load is the function load, together with other chunks. A part of a replay is loaded alone: there
// is one at a time.
func (w *Worker) load(ctx context.Context, m *member, ref chunkRef) (*work, error) {
	if ref.part != nil {
		return load(ctx, w.Pool, ref)
	}
	got, err := m.loads.do(ctx, ref)
	if err == nil {
		err = got.err
	}
	if err != nil {
		return nil, err
	}
	return got.work, nil
}

// alert finds the outcome of every recipient of a chunk and publishes it, or returns when
// to continue.
func (w *Worker) alert(ctx context.Context, m *member, ref chunkRef) (*later, error) {
	work, err := w.load(ctx, m, ref)
	if err != nil {
		return nil, err
	}
	work.with = m
	if work.done && !ref.amends {
		return nil, nil
	}
	if inHand, err := w.settleAbandoned(ctx, w.Pool, work); err != nil {
		return nil, err
	} else if inHand {
		return w.inHandElsewhere(), nil
	}
	if work.done {
		// An answer came late: the recorded outcome says unknown. No request is made. The
		// outcome stays as recorded for recipients without a request, and for those of a
		// refused request that had several recipients.
		return nil, w.publish(ctx, work, work.results())
	}
	work.amends = false // the answer came before the outcome
	asked, halvings := false, 0
	for try := 0; ; {
		if atFault := work.requestsAtFault(); atFault.reason != "" {
			if work.sound, err = acceptedSince(ctx, w.Pool, atFault.requests); err != nil {
				return nil, err
			}
			if !work.sound {
				// After a crash here the next worker draws the same conclusion from the refusals.
				if err := work.takeRefusalsBack(ctx, w.Pool); err != nil {
					return nil, err
				}
				w.refuses(atFault.reason)
				return w.accountAtFault(http.StatusBadRequest, atFault.reason), nil
			}
		}
		settled := work.results()
		to := work.nextRequest(settled)
		if len(to) == 0 {
			return w.conclude(ctx, work, settled)
		}
		// A chunk with a request when the pause begins is finished.
		if !asked && work.held {
			return &later{due: w.Facts.Now(), reason: pause.ReasonPaused, held: true}, nil
		}
		asked = true
		if wait := w.closedFor(); wait > maxHandlerWait {
			return &later{due: w.Facts.Now().Add(wait), reason: "SendGrid limits the rate"}, nil
		} else if wait > 0 {
			m.goOnAlone(w)
			if err := sleep(ctx, wait); err != nil {
				return nil, err
			}
		}
		result, err := w.request(ctx, work, to)
		if errors.Is(err, errLate) {
			return nil, nil // the chunk waits as a row, see claim.settle
		}
		if err != nil {
			return nil, err
		}
		switch result.Kind {
		case sendgrid.RateLimited:
			w.closeUntil(result.Until)
		case sendgrid.Unavailable:
			if try++; try >= handlerTries {
				return &later{reason: result.Reason}, nil
			}
			if err := sleep(ctx, backoff(try, firstBackoff, maxHandlerWait)); err != nil {
				return nil, err
			}
		case sendgrid.Refused:
			if work.claims[len(work.claims)-1].answer == answerAgain {
				return w.accountAtFault(result.Status, result.Reason), nil
			}
			if len(result.Refusals) == 0 {
				if halvings++; halvings >= mostHalvings {
					return &later{reason: result.Reason}, nil
				}
			}
		}
	}
}

// accountAtFault logs the refusal for the operator and makes the chunk wait.
func (w *Worker) accountAtFault(status int, reason string) *later {
	w.Logger.Error("SendGrid refuses every alert; check its key and ALERT_FROM", "status", status, "reason", reason)
	return &later{reason: reason}
}

// refuses stores the reason for which SendGrid refuses every request; "" after it has
// accepted one.
func (w *Worker) refuses(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusing, w.refusingUntil = reason, w.Facts.Now().Add(refusingFor)
}

// refusesAll reports whether every request gets this refusal: then halving would find no
// faulty recipient.
func (w *Worker) refusesAll(r sendgrid.Result) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return r.Kind == sendgrid.Refused && len(r.Refusals) == 0 && r.Reason == w.refusing && w.Facts.Now().Before(w.refusingUntil)
}

// errLate says that an answer came after another worker had declared it unknown. The
// answer is stored, and so is that the outcome must be published again.
var errLate = errors.New("the answer was declared unknown before it came")

// settleAbandoned sets claims to unknown whose worker ended before it stored an answer. If
// such a worker still runs, settleAbandoned returns true and changes nothing: that worker
// waits for the answer. A worker that hung for longer than its lease may still get the
// answer, which then replaces unknown.
func (w *Worker) settleAbandoned(ctx context.Context, db database, work *work) (inHand bool, err error) {
	for _, c := range work.claims {
		if c.answer != "" || c.claimedBy == w.id {
			continue
		}
		if lives, err := w.lives(ctx, db, c.claimedBy); err != nil || lives {
			return lives, err
		}
	}
	for i := range work.claims {
		c := &work.claims[i]
		if c.answer != "" {
			continue
		}
		c.answer = answerUnknown
		if _, _, err := c.settle(ctx, db, work.chunkRef); err != nil {
			return false, err
		}
		w.Logger.Warn("SendGrid's answer was never received", "message_id", work.message, "chunk", work.chunk,
			"recipients", len(c.positions))
	}
	return false, nil
}

// inHandElsewhere makes a chunk wait for another worker that waits for an answer.
func (w *Worker) inHandElsewhere() *later {
	return &later{due: w.Facts.Now().Add(inHandPoll), reason: reasonInHand, held: true}
}

// addresses returns the recipients at positions, with their links to opt out.
func (w *Worker) addresses(work *work, to []int) []sendgrid.Address {
	addresses := make([]sendgrid.Address, len(to))
	for i, p := range to {
		addresses[i] = sendgrid.Address{Position: p, Email: work.recipients[p].email}
	}
	if w.Unsubscribe == nil {
		return addresses
	}
	tokens := make([]byte, 0, len(to)*unsubscribe.TokenSize)
	for i, p := range to {
		tokens = w.Unsubscribe.Append(tokens, work.recipients[p].no, addresses[i].Email)
	}
	all := string(tokens) // one allocation
	for i := range addresses {
		addresses[i].Unsubscribe = all[i*unsubscribe.TokenSize : (i+1)*unsubscribe.TokenSize]
	}
	return addresses
}

// request claims one request, calls SendGrid and stores the answer.
func (w *Worker) request(ctx context.Context, work *work, to []int) (sendgrid.Result, error) {
	c := claim{request: work.number(), id: uuid.New(), claimedBy: w.id, positions: to}
	addresses := w.addresses(work, to)
	// It must be known whether the claim was committed. A committed claim without a request
	// could not be told from a request without an answer.
	var claimed bool
	err := w.keep(ctx, func(ctx context.Context) (err error) {
		if work.part != nil {
			claimed, err = c.insert(ctx, w.Pool, work.chunkRef)
		} else {
			claimed, err = w.membership(work).claims.do(ctx, claimOf{c, work.chunkRef})
		}
		return err
	})
	if err != nil {
		return sendgrid.Result{}, err
	}
	if !claimed {
		// The cause may be a failover of Postgres that lost claims whose answers this
		// worker knows.
		err := fmt.Errorf("request %d can't be claimed: another worker has claimed it, a failover of Postgres is not settled, or the recorder is behind the chunk", c.request)
		return sendgrid.Result{}, errors.Join(err, w.restore(ctx, work))
	}
	w.reaches(work.seq)
	// A crash from here on leaves a claim without an answer: unknown. A shutdown must not
	// cancel the call, or an answer would be lost: the call ends by its own timeout.
	result := w.Send(language.With(context.WithoutCancel(ctx), work.recipients[to[0]].language), c.id, addresses)
	c.take(result, refusesAccount(result) || w.refusesAll(result))
	if c.answer == answerAccepted {
		w.refuses("")
	} else {
		w.membership(work).goOnAlone(w)
	}
	// The chunk stays reserved until the answer is stored, so that no other goroutine of
	// this process treats the claim as abandoned.
	var late, lost bool
	err = w.keep(ctx, func(ctx context.Context) (err error) {
		if c.answer == answerAccepted && work.part == nil {
			if stored, err := w.membership(work).answers.do(ctx, claimOf{c, work.chunkRef}); err != nil || stored {
				return err
			}
		}
		late, lost, err = c.settle(ctx, w.Pool, work.chunkRef)
		return err
	})
	if err != nil {
		w.Logger.Error("SendGrid's answer could not be stored and is lost", "message_id", work.message, "chunk", work.chunk, "recipients", len(to),
			"answer", c.answer, "error", err)
		return result, err
	}
	if late {
		return result, errLate
	}
	work.claims = append(work.claims, c)
	if lost {
		return result, w.restore(ctx, work)
	}
	return result, nil
}

// restore writes the claims of a chunk again, with the answers that this worker knows,
// after a failover of Postgres has lost them. It returns errLate where the failover was
// settled without them.
func (w *Worker) restore(ctx context.Context, work *work) error {
	late := false
	for _, c := range work.claims {
		err := w.keep(ctx, func(ctx context.Context) error {
			overtaken, err := c.restore(ctx, w.Pool, work.chunkRef)
			late = late || overtaken
			return err
		})
		if err != nil {
			return err
		}
	}
	if late {
		return errLate
	}
	return nil
}

// take sets the claim's answer. If account is set, SendGrid refused the account, and no
// recipient counts as refused.
func (c *claim) take(r sendgrid.Result, account bool) {
	switch {
	case r.Kind == sendgrid.Accepted:
		c.answer, c.sendgridID = answerAccepted, r.MessageID
	case r.Kind == sendgrid.Unknown:
		c.answer = answerUnknown
	case r.Kind == sendgrid.Refused && !account:
		c.answer, c.refusals = answerRefused, []refusal{}
		for _, one := range r.Refusals {
			c.refusals = append(c.refusals, refusal{Position: one.Position, Reason: one.Reason})
		}
		if len(r.Refusals) == 0 && len(c.positions) == 1 {
			c.refusals = append(c.refusals, refusal{c.positions[0], r.Reason, true})
		}
	default:
		c.answer = answerAgain
	}
}

// refusesAccount tells a refusal of the account (its key, its sender, its plan) from one
// of recipients. An operator must correct the account; until then the alerts wait, and no
// recipient's alert fails.
func refusesAccount(r sendgrid.Result) bool {
	return r.Kind == sendgrid.Invalid || r.Kind == sendgrid.Refused && len(r.Refusals) == 0 && r.Status != 400 && r.Status != 413
}

// conclude publishes the outcome of a chunk once every recipient has one. Recipients of a
// replay's part who must not be alerted any more were not repeated: their failure stands
// with its reason, and the event does not name them.
func (w *Worker) conclude(ctx context.Context, work *work, settled []result) (*later, error) {
	if work.part != nil && slices.ContainsFunc(settled, func(f result) bool { return f.state == events.AlertSkipped }) {
		return w.windUp(ctx, work.chunkRef, false)
	}
	return nil, w.publish(ctx, work, settled)
}

func (w *Worker) publish(ctx context.Context, work *work, settled []result) error {
	outcome := work.outcome(settled)
	if err := work.name(ctx, w.Pool, outcome.Exceptions); err != nil {
		return err
	}
	if len(outcome.Exceptions) > 0 {
		outcome.Nos = work.nos()
	}
	e, err := w.Facts.Event(ctx, actor, w.Facts.Now(), outcome)
	if err != nil {
		return err
	}
	alarm, err := w.alarm(ctx, outcome)
	if err != nil {
		return err
	}
	// A crash before the acknowledgement leaves answers without an outcome: the
	// next worker finds an answer for every recipient and publishes the same event.
	var seq uint64
	if work.part == nil && len(alarm) == 0 {
		outcomes := w.membership(work).outcomes
		work.with.leave(w) // nothing waits for the outcome
		seq, err = outcomes.do(ctx, e)
	} else {
		seq, err = w.Facts.Send(ctx, append(alarm, e)...)
	}
	if err != nil {
		return fmt.Errorf("publishing the outcome: %w", err)
	}
	if work.part != nil {
		return w.closePart(ctx, work.chunkRef, seq)
	}
	return nil
}

// send publishes outcomes of several chunks as one batch. If one of them is stored already, as
// after a redelivery, the record stores the others one by one.
func (w *Worker) send(ctx context.Context, outcomes []events.Event) ([]uint64, error) {
	last, err := w.Facts.Send(ctx, outcomes...)
	if err != nil {
		return nil, err
	}
	return slices.Repeat([]uint64{last}, len(outcomes)), nil
}

// closedFor is the time for which SendGrid accepts no request, by its last answer 429.
func (w *Worker) closedFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, w.closed.Sub(w.Facts.Now()))
}

func (w *Worker) closeUntil(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.After(w.closed) {
		w.closed = t
	}
}

// backoff doubles from first to most, with full jitter on the upper half.
func backoff(try int, first, most time.Duration) time.Duration {
	d := min(most, first<<min(try-1, 16))
	return d/2 + rand.N(d/2+1) // #nosec G404 -- spreads load, guards nothing
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
