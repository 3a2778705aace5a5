package telemetry

import (
	"context"
	"crypto/rand"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// WithMessage returns ctx in the trace of a message, below its root span unless ctx is already in
// that trace.
func WithMessage(ctx context.Context, message uuid.UUID) context.Context {
	if message == uuid.Nil || trace.SpanContextFromContext(ctx).TraceID() == trace.TraceID(message) {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(message), SpanID: rootOf(message), TraceFlags: trace.FlagsSampled, Remote: true}))
}

// rootOf returns the id of the root span of a message's trace: the random half of the
// message's id.
func rootOf(message uuid.UUID) (root trace.SpanID) {
	copy(root[:], message[8:])
	return root
}

// begin starts a span in the trace of a message. Without a message and outside a span, it
// starts none.
func (t *Telemetry) begin(ctx context.Context, message uuid.UUID, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx = WithMessage(ctx, message)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
}

// rootKey is the context key of the message whose trace starts with the next span.
type rootKey struct{}

// ids makes random ids, except for the root of a message's trace.
type ids struct{}

// NewIDs implements the SDK's IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if message, ok := ctx.Value(rootKey{}).(uuid.UUID); ok {
		return trace.TraceID(message), rootOf(message)
	}
	return trace.TraceID(uuid.New()), randomSpan()
}

// NewSpanID implements the SDK's IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return randomSpan() }

func randomSpan() (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}
