package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"postern/internal/events"
)

// A request collects data of an HTTP request while it is handled.
type request struct {
	message uuid.UUID // of the first event that the request published
	sends   bool      // whether that event is message.sent
}

type requestKey struct{}

// noteMessage stores the message of an event in the request of ctx.
func noteMessage(ctx context.Context, e events.Event) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok && r.message == uuid.Nil {
		r.message, r.sends = e.MessageID, e.Type == events.TypeMessageSent
	}
}

// Requests measures and traces the requests to next, by the pattern of their route. Their
// paths are left out, because they contain ids.
func (t *Telemetry) Requests(route func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pattern := route(r)
		if pattern == "" {
			pattern = "none"
		}
		began := time.Now()
		t.active.Inc()
		about, answer := new(request), &Answer{ResponseWriter: w}
		defer func() {
			t.active.Dec()
			t.requests.WithLabelValues(pattern, strconv.Itoa(answer.Status)).Observe(time.Since(began).Seconds())
			t.traceRequest(r.Context(), about, pattern, answer.Status, began)
		}()
		next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), requestKey{}, about)))
	})
}

// traceRequest traces a request after its message is known. The request that sent a message is
// the root of the message's trace.
func (t *Telemetry) traceRequest(ctx context.Context, about *request, pattern string, status int, began time.Time) {
	if about.message == uuid.Nil {
		return
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.route", pattern), attribute.Int("http.response.status_code", status))}
	if about.sends {
		ctx = context.WithValue(ctx, rootKey{}, about.message)
		options = append(options, trace.WithNewRoot())
	} else {
		ctx = WithMessage(ctx, about.message)
	}
	_, span := t.tracer.Start(ctx, pattern, options...)
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
	span.End()
}

// An Answer is a writer that keeps the status of the answer, 0 before there is one.
type Answer struct {
	http.ResponseWriter
	Status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *Answer) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *Answer) Write(b []byte) (int, error) {
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *Answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
