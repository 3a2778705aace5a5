package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
)

const (
	// A stream says no more than this often how a message is getting on, however
	// fast the record grows.
	streamPause = 250 * time.Millisecond
	// A comment keeps proxies from closing the connection. At the same interval the policy
	// is asked again: signing out is not on the record.
	streamBeat = 5 * time.Second
	// A client that wants to hear more comes again, and shows again who it is.
	streamLife = 5 * time.Minute
	// How long a client may take to read one event.
	streamWriteTimeout = 10 * time.Second
)

// streamed is what a progress event carries.
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
		actions: mayTrack, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *MessagePath) (*huma.StreamResponse, error) {
		first, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID) // so that there is an answer, and not a stream, where it is refused
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			_, w := humago.Unwrap(hc)
			g.streamProgress(hc.Context(), a, w, first.ID)
		}}, nil
	})
	a.huma.OpenAPI().Paths[path].Get.Responses["200"] = &huma.Response{
		Description: "Events of the type progress, each with the JSON of status and progress.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
	}
}

// streamProgress tells how the message is getting on, driven by the recorder,
// until the client leaves or may not read it any more, the server stops or the stream
// has lived long enough.
func (g MessageOperations) streamProgress(ctx context.Context, a *API, w http.ResponseWriter, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's own are for requests
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	send := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && control.Flush() == nil
	}
	var said streamed
	for {
		// Asked for before reading, so that what changes in between is not missed.
		changed := g.Changed()
		current, err := g.visibleStill(ctx, id)
		if err != nil {
			return // the client connects again, and is told
		}
		if now := (streamed{string(current.Status), current.Progress}); now != said {
			said = now
			data, err := json.Marshal(now)
			if err != nil || !send("event: progress\ndata: %s\n\n", data) {
				return
			}
		}
		beat := func() bool {
			_, err := g.visibleStill(ctx, id)
			return err == nil && send(": \n\n")
		}
		if !a.pause(ctx, changed, beat) {
			return
		}
	}
}

// visibleStill is the message if who asked for it may still look at it, by the same
// policy as a request that comes now.
func (g MessageOperations) visibleStill(ctx context.Context, id uuid.UUID) (messages.Message, error) {
	reader, err := stillAllowed(ctx, mayTrack)
	if err != nil {
		return messages.Message{}, err
	}
	return g.Messages.Visible(ctx, reader, id)
}

// stillAllowed asks the policy once more, for an answer that goes on.
func stillAllowed(ctx context.Context, actions []policy.Action) (policy.Subject, error) {
	subject, err := policy.Again(ctx)
	if err == nil {
		err = allowAny(subject, actions)
	}
	return subject, err
}

// pause returns true when it is time to look again.
func (a *API) pause(ctx context.Context, changed <-chan struct{}, beat func() bool) bool {
	select {
	case <-ctx.Done():
		return false
	case <-a.closing:
		return false
	case <-time.After(streamPause):
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-a.closing:
			return false
		case <-changed:
			return true
		case <-time.After(streamBeat):
			if !beat() {
				return false
			}
		}
	}
}
