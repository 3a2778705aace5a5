package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"postern/internal/events"
)

// A Handler handles one event, stored at seq. It may be given an event more than
// once, and at the same time as another handler, and must come to the same end.
// An error brings the event back later, until it is parked.
type Handler func(ctx context.Context, e events.Event, seq uint64) error

// A Lane is a durable consumer with the handler of its events.
type Lane struct {
	Consumer string
	Slots    int // how many events are handled at once; 0 is 1
	Handle   Handler
	// Timeout ends the context of a handler that takes longer; 0 never does.
	Timeout time.Duration
}

// Consume hands events to the lanes' handlers until ctx ends. Then it fetches no
// more and returns once every handler is done, or was called off after twenty
// seconds and its event handed back; a handler's context outlives ctx until then.
func (l *Log) Consume(ctx context.Context, p Parking, lanes ...Lane) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, routerLog(l.log))
	if err != nil {
		return fmt.Errorf("setting up the handlers: %w", err)
	}
	for _, lane := range lanes {
		sub := NewSubscriber(l, SubscriberConfig{Slots: lane.Slots})
		defer func() { _ = sub.Close() }() // waits for the last acknowledgements
		h := router.AddConsumerHandler(lane.Consumer, lane.Consumer, sub, lane.handle)
		// The first stands outermost: a panic becomes an error before it is judged.
		h.AddMiddleware(p.middleware(lane.Consumer, l.log), middleware.CorrelationID)
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
	e, seq, err := EventOf(m)
	if err != nil {
		return err
	}
	return lane.Handle(m.Context(), e, seq)
}

// routerLog makes what Watermill calls information debugging, and leaves errors
// to the parking, which knows which of them count.
func routerLog(log *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelDebug})
}

// ErrPermanent is wrapped by errors of handlers that no further try can mend.
var ErrPermanent = errors.New("can't be handled")

// Parked is an event that a consumer gave up on.
type Parked struct {
	Consumer string
	Seq      uint64
	// Event is as much of it as can be read: nothing of a malformed one, and no
	// Data from a consumer for headers only.
	Event  events.Event
	Tries  int
	Reason string
	Stack  string // where the handler panicked
}

// Parking is what becomes of events that can't be handled.
type Parking struct {
	// MaxTries is how often an event is handed out before it is parked; 0 is 5.
	MaxTries int
	// Passing tells errors that are no fault of the event: it is tried on for as
	// long as they last. Nil knows of none but the record being out of reach.
	Passing func(error) bool
	// Failed, where it is set, is told of every try that failed, parked or not.
	Failed func(ctx context.Context, consumer string, seq uint64, reason string)
	// Park keeps the event for an operator. Where that fails, the event comes
	// again. It may be called twice for one event.
	Park func(context.Context, Parked) error
}

// middleware parks what the inner handlers can't handle and calls it done, so
// that it holds up nobody.
func (p Parking) middleware(consumer string, log *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			ctx := m.Context() // the inner ones may shorten it
			produced, err := next(m)
			if err == nil {
				return produced, nil
			}
			tries := triesOf(m)
			attrs := []any{"consumer", consumer, "seq", m.Metadata.Get(MetadataSeq), "tries", tries, "reason", reasonOf(err)}
			if p.Failed != nil {
				p.Failed(ctx, consumer, seqOf(m), reasonOf(err))
			}
			if !p.hopeless(err, tries) {
				log.Warn("an event will be tried again", attrs...)
				return nil, err
			}
			if parkErr := p.park(ctx, m, consumer, tries, err); parkErr != nil {
				log.Error("an event can't be parked, and will be tried again", append(attrs, "error", parkErr.Error())...)
				return nil, errors.Join(err, parkErr)
			}
			log.Error("an event was parked; the reason stands in app.parked", attrs...)
			return nil, nil
		}
	}
}

func (p Parking) hopeless(err error, tries int) bool {
	if errors.Is(err, ErrPermanent) || errors.Is(err, events.ErrMalformed) {
		return true
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || (p.Passing != nil && p.Passing(err)) {
		return false
	}
	most := p.MaxTries
	if most == 0 {
		most = 5
	}
	return tries >= most
}

func (p Parking) park(ctx context.Context, m *message.Message, consumer string, tries int, err error) error {
	e, seq, _ := EventOf(m) // what can't be read is parked without
	parked := Parked{Consumer: consumer, Seq: seq, Event: e, Tries: tries}
	parked.Reason, parked.Stack = Describe(err)
	if err := p.Park(ctx, parked); err != nil {
		return fmt.Errorf("parking event %d: %w", seq, err)
	}
	return nil
}

// reasonOf is err in a line.
func reasonOf(err error) string {
	var panicked middleware.RecoveredPanicError
	if errors.As(err, &panicked) {
		return fmt.Sprintf("panic: %v", panicked.V)
	}
	return err.Error()
}
