package telemetry

import (
	"context"
	"crypto/rand"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Within is ctx within the trace of a message, below its root span unless it is
// within it already.
func Within(ctx context.Context, message uuid.UUID) context.Context {
	if message == uuid.Nil || trace.SpanContextFromContext(ctx).TraceID() == trace.TraceID(message) {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(message), SpanID: rootOf(message), TraceFlags: trace.FlagsSampled, Remote: true}))
}

// rootOf is the id of the root span of a message's trace: the half of the
// message's id that is random.
func rootOf(message uuid.UUID) (root trace.SpanID) {
	copy(root[:], message[8:])
	return root
}

// begin begins a span in the trace of a message, and none for what is about no
// message and within no span.
func (t *Telemetry) begin(ctx context.Context, message uuid.UUID, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx = Within(ctx, message)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
}

// rootKey is where a context names the message whose trace begins with it.
type rootKey struct{}

// ids are random but for the root of a message's trace.
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
