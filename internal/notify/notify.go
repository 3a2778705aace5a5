package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgrid"
	"postern/internal/recorder/position"
)

const (
	source = "/notify-worker"
	actor  = "process:notify-worker"

	// maxHandlerWait is the longest that a handler waits for SendGrid by itself; past
	// it the chunk becomes a row of app.alert_work.
	maxHandlerWait = 3 * time.Second
	// handlerTries is how often a handler calls while SendGrid is away.
	handlerTries = 4
	firstBackoff = 100 * time.Millisecond
	// longBackoff is the longest that a chunk waits before it is tried again:
	// within a minute after SendGrid is back, everything has gone out.
	longBackoff = 45 * time.Second
	// mostHalvings is how many requests of a chunk may be refused without naming a
	// recipient, each time that it is taken up, before the chunk waits as a row.
	mostHalvings = 64
	// refusingFor is how long a chunk is not halved again for a refusal that was found
	// to be of all requests.
	refusingFor = 15 * time.Minute
	// inHandPoll is how often a chunk is looked at of which another worker has a request
	// in hand.
	inHandPoll = time.Second
	// keepTimeout bounds one try to write an answer down, keepBackoff the wait between two
	// tries, and keepAfterStop how long a worker tries once it is stopped.
	keepTimeout   = 10 * time.Second
	keepBackoff   = time.Second
	keepAfterStop = 10 * time.Second
)

// Config is what a Worker works with.
type Config struct {
	Pool     *pgxpool.Pool
	Position *position.Watcher
	Publish  func(context.Context, ...events.Event) (uint64, error)
	Send     func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result
	Logger   *slog.Logger
	// Last gives the sequence of the last event on the record.
	Last func(context.Context) (uint64, error)
	// Acked gives the event up to which every lane of the worker has acknowledged all events,
	// in any process; nil: that is not known. It tells where older files of Postgres were put
	// back.
	Acked func(context.Context) (uint64, error)
	Now   func() time.Time // nil: time.Now
	// Within is ctx within the trace of a message; nil: there are no traces.
	Within func(ctx context.Context, message uuid.UUID) context.Context
	// FailureLimit is how many percent of a chunk may fail before the alerts of its
	// message pause by themselves; 0: any.
	FailureLimit int
}

// A Worker alerts chunks. Its methods are safe to call from many goroutines at
// once, and any number of Workers may share the work.
type Worker struct {
	Config
	id uuid.UUID // of this process's life: tells its claims from a dead one's

	mu     sync.Mutex
	inHand map[chunkKey]bool
	closed time.Time // SendGrid takes nothing before then
	// refusing is the reason that SendGrid gives while it refuses every request, "" where
	// it accepts them. It is not believed after refusingUntil.
	refusing      string
	refusingUntil time.Time
	furthest      uint64 // an event to which the recorder has come; see promotion.go

	knowsAcked atomic.Bool // furthest is not before what Acked gave at the start

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
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Within == nil {
		c.Within = func(ctx context.Context, _ uuid.UUID) context.Context { return ctx }
	}
	return &Worker{Config: c, id: uuid.New(), inHand: map[chunkKey]bool{},
		replays: &replay.Executor{Pool: c.Pool, Publish: c.Publish, Source: source, Now: c.Now}}
}

// Handle alerts the chunk that a deliveries.created event, stored at seq, speaks
// of; it needs the event's headers alone. It returns nil once the chunk's
// outcome is on the record or the chunk waits in app.alert_work, so that the
// event may be acknowledged.
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
	return w.alertOrDefer(ctx, ref, 0)
}

// stalled is how long the recorder may stand still before alerts no longer wait
// for the rest of their message. It is counted from when the position last moved, and
// so once for all chunks.
const stalled = 500 * time.Millisecond

// yieldToRecorder waits until the whole of a blast can be read before its alerts
// begin: a thousand alerts cost Postgres and the processors about as much as
// recording a thousand deliveries, and what people wait for is the inbox. Where
// nothing is being recorded there is nothing to yield to.
func (w *Worker) yieldToRecorder(ctx context.Context, ref chunkRef) error {
	for ref.chunks > 1 {
		changed := w.Position.Changed()
		var whole bool
		err := w.Pool.QueryRow(ctx, `SELECT status <> 'sending' FROM record.messages WHERE message_id = $1`, ref.message).Scan(&whole)
		if err != nil {
			return fmt.Errorf("looking whether message %s can be read whole: %w", ref.message, err)
		}
		rest := stalled - w.Position.Still()
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

// alertOrDefer alerts a chunk now or writes down when to try again.
func (w *Worker) alertOrDefer(ctx context.Context, ref chunkRef, tries int) error {
	if err := w.awaitSettled(ctx); err != nil {
		return err
	}
	if !w.take(ref) {
		return fmt.Errorf("chunk %d of message %s is in hand already", ref.chunk, ref.message)
	}
	defer w.giveBack(ref)
	again, err := w.alert(w.Within(ctx, ref.message), ref)
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
		tries = max(tries-1, 0) // no try of its own
	}
	return w.deferRetry(ctx, ref, *again, tries)
}

// take keeps two handlers of one process from the same chunk: a redelivery can
// overtake a handler that is still at work.
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

// later says when and why a chunk is to be taken up again.
type later struct {
	due    time.Time // zero: as the backoff says
	reason string
	held   bool // by a pause: no request was made
}

// alert brings every recipient of a chunk to an end and publishes the outcome,
// or says when to go on.
func (w *Worker) alert(ctx context.Context, ref chunkRef) (*later, error) {
	work, err := load(ctx, w.Pool, ref)
	if err != nil {
		return nil, err
	}
	if work.done && !ref.amends {
		return nil, nil
	}
	if inHand, err := w.settleAbandoned(ctx, w.Pool, work); err != nil {
		return nil, err
	} else if inHand {
		return w.inHandElsewhere(), nil
	}
	if work.done {
		// An answer came of which the outcome on the record says that it is unknown. No
		// request is made: a recipient who was not called before, or was refused in
		// company, stays as the record has it.
		return nil, w.publish(ctx, work, work.fates())
	}
	work.amends = false // the answer came before the outcome
	asked, halvings := false, 0
	for try := 0; ; {
		if atFault := work.requestsAtFault(); atFault.reason != "" {
			if work.sound, err = acceptedSince(ctx, w.Pool, atFault.requests); err != nil {
				return nil, err
			}
			if !work.sound {
				// A crash here leaves refusals from which the next worker concludes the same.
				if err := work.pardon(ctx, w.Pool); err != nil {
					return nil, err
				}
				w.refuses(atFault.reason)
				return w.accountAtFault(http.StatusBadRequest, atFault.reason), nil
			}
		}
		settled := work.fates()
		to := work.nextRequest(settled)
		if len(to) == 0 {
			return w.conclude(ctx, work, settled)
		}
		if !asked {
			if held, err := w.held(ctx, work.message); err != nil {
				return nil, err
			} else if held {
				return &later{due: w.Now(), reason: pause.Held, held: true}, nil
			}
			asked = true
		}
		if wait := w.closedFor(); wait > maxHandlerWait {
			return &later{due: w.Now().Add(wait), reason: "SendGrid limits the rate"}, nil
		} else if err := sleep(ctx, wait); err != nil {
			return nil, err
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

// accountAtFault tells the operator, and has the chunk wait.
func (w *Worker) accountAtFault(status int, reason string) *later {
	w.Logger.Error("SendGrid refuses every alert; check its key and ALERT_FROM", "status", status, "reason", reason)
	return &later{reason: reason}
}

// refuses notes the reason for which SendGrid refuses every request, "" where it has
// accepted one.
func (w *Worker) refuses(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusing, w.refusingUntil = reason, w.Now().Add(refusingFor)
}

// refusesAll tells whether every request gets this refusal, so that halving would find no
// recipient at fault.
func (w *Worker) refusesAll(r sendgrid.Result) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return r.Kind == sendgrid.Refused && len(r.Refusals) == 0 && r.Reason == w.refusing && w.Now().Before(w.refusingUntil)
}

// errLate says that an answer came after another worker had declared it unknown. It is
// written down, and so is that the outcome is to be published again.
var errLate = errors.New("the answer was declared unknown before it came")

// settleAbandoned declares the answers of claims unknown whose claimer did not live to
// write one. It gives true, and changes nothing, where a claimer lives: that worker has
// the request in hand. One that hung for longer than its lease lasts may still learn the
// answer, which then takes the place of unknown.
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
		w.Logger.Warn("an answer of SendGrid was never learned", "message_id", work.message, "chunk", work.chunk,
			"recipients", len(c.positions))
	}
	return false, nil
}

// inHandElsewhere has a chunk wait for the worker that has a request of it in hand.
func (w *Worker) inHandElsewhere() *later {
	return &later{due: w.Now().Add(inHandPoll), reason: reasonInHand, held: true}
}

// request claims, calls and settles one request.
func (w *Worker) request(ctx context.Context, work *work, to []int) (sendgrid.Result, error) {
	c := claim{request: work.number(), id: uuid.New(), claimedBy: w.id, positions: to}
	addresses := make([]sendgrid.Address, len(to))
	for i, p := range to {
		addresses[i] = sendgrid.Address{Position: p, Email: work.recipients[p].email}
	}
	// Whether the claim was committed must be known: nothing else will ever tell that no
	// request was made under it.
	var claimed bool
	err := w.keep(ctx, func(ctx context.Context) (err error) {
		claimed, err = c.insert(ctx, w.Pool, work.chunkRef)
		return err
	})
	if err != nil {
		return sendgrid.Result{}, err
	}
	if !claimed {
		// A failover of Postgres may be why, which may have lost claims whose answers
		// this worker knows.
		err := fmt.Errorf("request %d can't be claimed: another worker has claimed it, or a failover of Postgres is not settled", c.request)
		return sendgrid.Result{}, errors.Join(err, w.restore(ctx, work))
	}
	w.reaches(work.seq)
	// A crash from here on leaves a claim without an answer: unknown.
	// Being stopped must not turn an answer that is on its way into an unknown one:
	// the call ends by its own time-out.
	result := w.Send(context.WithoutCancel(ctx), c.id, addresses)
	c.take(result, wholly(result) || w.refusesAll(result))
	if c.answer == answerAccepted {
		w.refuses("")
	}
	// The chunk stays in hand until the answer is kept, so that no other goroutine of
	// this process takes it for one that was never learned.
	var late, lost bool
	err = w.keep(ctx, func(ctx context.Context) (err error) {
		late, lost, err = c.settle(ctx, w.Pool, work.chunkRef)
		return err
	})
	if err != nil {
		w.Logger.Error("an answer of SendGrid is lost", "message_id", work.message, "chunk", work.chunk, "recipients", len(to),
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

// restore writes again what this worker knows of the requests of a chunk, where a
// failover of Postgres has lost their claims. Its error is errLate where the failover
// was settled without them.
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

// take notes SendGrid's answer on the claim. Where it refuses the account, no recipient
// is.
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

// wholly tells a refusal of the account (its key, its sender, its plan) from one
// of the recipients: the first is for an operator to mend, and costs no
// recipient the alert.
func wholly(r sendgrid.Result) bool {
	return r.Kind == sendgrid.Invalid || r.Kind == sendgrid.Refused && len(r.Refusals) == 0 && r.Status != 400 && r.Status != 413
}

// conclude publishes the outcome of a chunk whose every recipient is settled. Those of
// a part to whom no alert is due any more were not repeated: their failure stands,
// with its reason, and they are left out by name.
func (w *Worker) conclude(ctx context.Context, work *work, settled []fate) (*later, error) {
	if work.part != nil && slices.ContainsFunc(settled, func(f fate) bool { return f.state == events.AlertSkipped }) {
		return w.windUp(ctx, work.chunkRef, false)
	}
	return nil, w.publish(ctx, work, settled)
}

func (w *Worker) publish(ctx context.Context, work *work, settled []fate) error {
	outcome := work.outcome(settled)
	e, err := events.New(source, actor, w.Now(), outcome)
	if err != nil {
		return err
	}
	alarm, err := w.alarm(ctx, outcome)
	if err != nil {
		return err
	}
	// A crash before the acknowledgement leaves answers without an outcome: the
	// next worker finds every recipient settled and publishes the same event.
	seq, err := w.Publish(ctx, append(alarm, e)...)
	if err != nil {
		return fmt.Errorf("publishing the outcome: %w", err)
	}
	if work.part != nil {
		return w.closePart(ctx, work.chunkRef, seq)
	}
	return nil
}

// closedFor is how long SendGrid will take nothing, by its last 429.
func (w *Worker) closedFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, w.closed.Sub(w.Now()))
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
