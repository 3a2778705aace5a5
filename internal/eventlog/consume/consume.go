// Package consume gives the events of the record to handlers: it is Watermill on JetStream's
// durable consumers. It retries an event whose handler fails, and parks an event that no
// retry can help. A [Subscriber] delivers each event at least once, in no guaranteed order,
// to at most as many handlers at a time as it has slots.
//
// Everything here is safe for concurrent use.
package consume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"postern/internal/eventlog"
	"postern/internal/events"
)

// A Handler handles one event, stored at seq. It must be idempotent: it may be
// called more than once for an event, also at the same time in another process.
// After an error the event is retried later, until it is parked.
type Handler func(ctx context.Context, e events.Event, seq uint64) error

// A Lane is a durable consumer and the handler of its events.
type Lane struct {
	Consumer string
	Slots    int // the largest number of events handled at once; 0 means 1
	Handle   Handler
	// Timeout ends the context of a handler that takes longer; 0 means no timeout.
	Timeout time.Duration
}

// Run gives events to the lanes' handlers until ctx ends. Then it fetches no
// more events, and returns once every handler is done or cancelled. A handler's
// context stays valid for twenty seconds after ctx ends; then it is cancelled and the
// event is returned to JetStream.
func Run(ctx context.Context, log *eventlog.Log, p Parking, lanes ...Lane) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, routerLog(log.Logger()))
	if err != nil {
		return fmt.Errorf("setting up the handlers: %w", err)
	}
	for _, lane := range lanes {
		sub := NewSubscriber(log, SubscriberConfig{Slots: lane.Slots})
		defer func() { _ = sub.Close() }() // waits for the last acknowledgements
		h := router.AddConsumerHandler(lane.Consumer, lane.Consumer, sub, lane.handle)
		// The first is the outermost: Recoverer turns a panic into an error before
		// Parking looks at it.
		h.AddMiddleware(p.middleware(lane.Consumer, log.Logger()), middleware.CorrelationID)
		if lane.Timeout > 0 {
			h.AddMiddleware(middleware.Timeout(lane.Timeout))
		}
		h.AddMiddleware(middleware.Recoverer)
	}
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("running the handlers: %w", err)
	}
	return nil
}

func (lane Lane) handle(m *message.Message) error {
	e, seq, err := eventOf(m)
	if err != nil {
		return err
	}
	return lane.Handle(m.Context(), e, seq)
}

// routerLog logs Watermill's information and errors as debugging: Parking logs the
// errors that matter.
func routerLog(log *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelDebug})
}

// ErrPermanent is wrapped by a handler's error that no retry can fix.
var ErrPermanent = errors.New("can't be handled")

// Parked is an event that a consumer could not handle (a dead letter).
type Parked struct {
	Consumer string
	Seq      uint64
	// Event has no fields set if the event is malformed, and no Data if it comes
	// from a headers-only consumer.
	Event  events.Event
	Tries  int
	Reason string
	Stack  string // the stack trace of a panic
}

// Parking says when an event is parked, and how.
type Parking struct {
	// MaxTries is the number of deliveries after which an event is parked; 0 means 5.
	MaxTries int
	// Passing reports whether an error is transient, not caused by the event: such
	// an error is retried without limit. If it is nil, only an unavailable record is
	// transient.
	Passing func(error) bool
	// Failed, if set, is called for every failed try, parked or not.
	Failed func(ctx context.Context, consumer string, seq uint64, reason string)
	// Park stores the event for an operator. If it fails, the event is retried. It
	// may be called twice for one event.
	Park func(context.Context, Parked) error
}

// middleware parks events that the inner handlers can't handle and acknowledges
// them, so that they don't block other events. A crash between the two redelivers
// the event, and Park is called again.
func (p Parking) middleware(consumer string, log *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			ctx := m.Context() // inner handlers may replace it with one that has a timeout
			produced, err := next(m)
			if err == nil {
				return produced, nil
			}
			tries := triesOf(m)
			attrs := []any{"consumer", consumer, "seq", m.Metadata.Get(metadataSeq), "tries", tries, "reason", reasonOf(err)}
			if p.Failed != nil {
				p.Failed(ctx, consumer, seqOf(m), reasonOf(err))
			}
			if !p.givesUp(err, tries) {
				log.Warn("an event will be tried again", attrs...)
				return nil, err
			}
			if parkErr := p.park(ctx, m, consumer, tries, err); parkErr != nil {
				log.Error("an event can't be parked, and will be tried again", append(attrs, "error", parkErr.Error())...)
				return nil, errors.Join(err, parkErr)
			}
			log.Error("an event was parked; the reason is in app.parked", attrs...)
			return nil, nil
		}
	}
}

func (p Parking) givesUp(err error, tries int) bool {
	if errors.Is(err, ErrPermanent) || errors.Is(err, events.ErrMalformed) {
		return true
	}
	if errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, context.Canceled) || (p.Passing != nil && p.Passing(err)) {
		return false
	}
	most := p.MaxTries
	if most == 0 {
		most = 5
	}
	return tries >= most
}

func (p Parking) park(ctx context.Context, m *message.Message, consumer string, tries int, err error) error {
	e, seq, _ := eventOf(m) // an event that can't be read is parked with no fields
	parked := Parked{Consumer: consumer, Seq: seq, Event: e, Tries: tries}
	parked.Reason, parked.Stack = Describe(err)
	if err := p.Park(ctx, parked); err != nil {
		return fmt.Errorf("parking event %d: %w", seq, err)
	}
	return nil
}

// reasonOf gives err in one line.
func reasonOf(err error) string {
	var panicked middleware.RecoveredPanicError
	if errors.As(err, &panicked) {
		return fmt.Sprintf("panic: %v", panicked.V)
	}
	return err.Error()
}
