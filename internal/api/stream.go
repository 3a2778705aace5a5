package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/problem"
)

const (
	// streamInterval is the least time between two progress events, however fast the record
	// grows.
	streamInterval = 250 * time.Millisecond
	// streamHeartbeat is the interval of comments that keep proxies from closing the
	// connection. At the same interval the policy is checked again, because signing out
	// publishes no event.
	streamHeartbeat = 5 * time.Second
	// streamLifetime is the most time that a stream lasts. The client connects and
	// authenticates again.
	streamLifetime = 5 * time.Minute
	// streamWriteTimeout is how long a client may take to read one event.
	streamWriteTimeout = 10 * time.Second
	// mostStreams is the most streams at a time, and mostStreamsOfOne those of one staff member.
	// Each reads the database whenever the record grows.
	mostStreams, mostStreamsOfOne = 256, 16
	// streamRetry is when to try again where there are too many.
	streamRetry = 30 * time.Second
)

// streams counts the open streams by staff member. The zero value has none.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// begin counts a stream until end. It fails with a problem if there are too many.
func (s *streams) begin(who string) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= mostStreams || s.of[who] >= mostStreamsOfOne {
		return nil, &problem.Error{Kind: problem.TooMany, RetryAfter: streamRetry,
			Detail: "too many streams are open: close some, or ask for the message itself now and then"}
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[who]--; s.of[who] == 0 {
			delete(s.of, who)
		}
	}, nil
}

// streamed is the data of a progress event.
type streamed struct {
	Status string `json:"status"`
	messages.Progress
}

// stream registers the progress of a message as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (g MessageOperations) stream(a *API) {
	const path = "/v1/messages/{id}/stream"
	handle(a, operation{
		method: http.MethodGet, path: path, id: "stream-progress", tag: forStaff,
		summary: "Server-sent events `progress`: the status and progress of a message, whenever they change.",
		actions: mayTrack, problems: []int{http.StatusNotFound, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *MessagePath) (*huma.StreamResponse, error) {
		first, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID) // an error here is answered as a problem, not as a stream
		if err != nil {
			return nil, err
		}
		end, err := a.streams.begin(subjectOf(ctx).Actor())
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer end()
			_, w := humago.Unwrap(hc)
			g.streamProgress(hc.Context(), a, w, first.ID)
		}}, nil
	})
	a.huma.OpenAPI().Paths[path].Get.Responses["200"] = &huma.Response{
		Description: "Events of the type progress, each with the JSON of status and progress.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
	}
}

// streamProgress sends the progress of a message whenever the recorder changes it. It ends
// when the client disconnects or may no longer read the message, when the server stops, or
// after streamLifetime.
func (g MessageOperations) streamProgress(ctx context.Context, a *API, w http.ResponseWriter, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, streamLifetime)
	defer cancel()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's own deadlines are for short requests
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	send := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && control.Flush() == nil
	}
	var sent streamed
	for {
		// Called before reading, so that no change in between is missed.
		changed := g.Changed()
		current, err := g.stillVisible(ctx, id)
		if err != nil {
			return // the client connects again and gets the error
		}
		if now := (streamed{string(current.Status), current.Progress}); now != sent {
			sent = now
			data, err := json.Marshal(now)
			if err != nil || !send("event: progress\ndata: %s\n\n", data) {
				return
			}
		}
		heartbeat := func() bool {
			_, err := g.stillVisible(ctx, id)
			return err == nil && send(": \n\n")
		}
		if !a.waitForChange(ctx, changed, heartbeat) {
			return
		}
	}
}

// stillVisible returns the message if the client may still read it, by the same policy as
// for a new request.
func (g MessageOperations) stillVisible(ctx context.Context, id uuid.UUID) (messages.Message, error) {
	reader, err := stillAllowed(ctx, mayTrack)
	if err != nil {
		return messages.Message{}, err
	}
	return g.Messages.Visible(ctx, reader, id)
}

// stillAllowed checks the policy again, for an answer that takes a long time.
func stillAllowed(ctx context.Context, actions []policy.Action) (policy.Subject, error) {
	subject, err := policy.Reauthenticate(ctx)
	if err == nil {
		err = allowAny(subject, actions)
	}
	return subject, err
}

// waitForChange waits at least streamInterval and then until changed is closed, and returns
// true. It returns false if the stream must end. It calls heartbeat every streamHeartbeat.
func (a *API) waitForChange(ctx context.Context, changed <-chan struct{}, heartbeat func() bool) bool {
	select {
	case <-ctx.Done():
		return false
	case <-a.closing:
		return false
	case <-time.After(streamInterval):
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-a.closing:
			return false
		case <-changed:
			return true
		case <-time.After(streamHeartbeat):
			if !heartbeat() {
				return false
			}
		}
	}
}
