package telemetry

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"postern/internal/events"
)

type (
	publish = func(context.Context, ...events.Event) (uint64, error)
	handler = func(ctx context.Context, e events.Event, seq uint64) error
)

// Publishing measures and traces the calls of next.
func (t *Telemetry) Publishing(next publish) publish {
	return func(ctx context.Context, evs ...events.Event) (uint64, error) {
		if len(evs) == 0 {
			return next(ctx)
		}
		first := evs[0]
		noteMessage(ctx, first)
		ctx, span := t.begin(ctx, first.MessageID, "publish "+string(first.Type), trace.SpanKindProducer,
			attribute.Int("messaging.batch.message_count", len(evs)))
		began := time.Now()
		seq, err := next(ctx, evs...)
		t.publishTook.Observe(time.Since(began).Seconds())
		t.publishBatch.Observe(float64(len(evs)))
		for _, e := range evs {
			t.published.WithLabelValues(string(e.Type), outcome(err, "acknowledged", "failed")).Inc()
			if err == nil {
				t.countAlerts(e)
				t.countSignIns(e)
			}
		}
		end(span, err)
		return seq, err
	}
}

// countAlerts counts the recipients of an outcome by their state.
func (t *Telemetry) countAlerts(e events.Event) {
	if !e.Type.IsOutcome() {
		return
	}
	o, err := events.Decode[events.AlertOutcome](e)
	if err != nil {
		return // a published event can always be decoded
	}
	t.alerts.WithLabelValues(string(o.State)).Add(float64(o.Recipients - len(o.Exceptions)))
	for _, x := range o.Exceptions {
		t.alerts.WithLabelValues(string(x.State)).Inc()
	}
}

// countSignIns counts failed sign-ins by realm and reason.
func (t *Telemetry) countSignIns(e events.Event) {
	switch e.Type {
	case events.TypeSignInFailed:
		if b, err := events.Decode[events.SignIn](e); err == nil {
			t.signIns.WithLabelValues(b.Account, b.Reason).Inc()
		}
	case events.TypeSignInsFailed:
		if b, err := events.Decode[events.SignInsFailed](e); err == nil {
			for reason, n := range b.ByReason {
				t.signIns.WithLabelValues(b.Account, reason).Add(float64(n))
			}
		}
	}
}

// Handling measures and traces the calls of a consumer's handler.
func (t *Telemetry) Handling(consumer string, next handler) handler {
	return func(ctx context.Context, e events.Event, seq uint64) error {
		ctx, span := t.begin(ctx, e.MessageID, "handle "+string(e.Type), trace.SpanKindConsumer,
			attribute.String("messaging.consumer.group.name", consumer), attribute.Int64("postern.seq", int64(seq))) // #nosec G115 -- a sequence
		began := time.Now()
		err := next(ctx, e, seq)
		t.handled.WithLabelValues(consumer, outcome(err, "done", "failed")).Observe(time.Since(began).Seconds())
		end(span, err)
		return err
	}
}

// Calling measures and traces one call of SendGrid for a number of recipients. Make the call
// with the returned context, and then call done with the result.
func (t *Telemetry) Calling(ctx context.Context, recipients int) (_ context.Context, done func(answer string, status int)) {
	ctx, span := t.tracer.Start(ctx, "send alerts", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.Int("postern.recipients", recipients)))
	began := time.Now()
	return ctx, func(answer string, status int) {
		t.sendGrid.WithLabelValues(answer, strconv.Itoa(status)).Observe(time.Since(began).Seconds())
		span.SetAttributes(attribute.String("postern.answer", answer), attribute.Int("http.response.status_code", status))
		if answer != "accepted" {
			span.SetStatus(codes.Error, answer)
		}
		span.End()
	}
}

// Recorded measures and traces a run of events that the recorder wrote in one transaction,
// which started at began.
func (t *Telemetry) Recorded(began time.Time, run []events.Event) {
	t.runEvents.Observe(float64(len(run)))
	t.runTook.Observe(time.Since(began).Seconds())
	for _, e := range run {
		if e.MessageID != uuid.Nil {
			_, span := t.tracer.Start(WithMessage(context.Background(), e.MessageID), "record "+string(e.Type),
				trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer))
			span.End()
		}
	}
}

func outcome(err error, good, bad string) string {
	if err == nil {
		return good
	}
	return bad
}

// end ends a span. It leaves out the text of the error, which may contain personal data.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}
