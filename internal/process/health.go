package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/inbound"
)

// A check gives the reason for which a process can't do its work.
type check = func(context.Context) error

// connected tells whether NATS is there.
func (b *base) connected(context.Context) error {
	if !b.log.Connected() {
		return errors.New("NATS can't be reached")
	}
	return nil
}

// longBehind is how old an event may become before it is recorded. A blast to a
// million takes a few seconds.
const longBehind = 30 * time.Second

// recording tells whether the tables keep up with the record, and are of this stream.
func (b *base) recording(ctx context.Context) error {
	s, err := b.standing(ctx)
	if err != nil {
		return err
	}
	if s.Position > s.Last { // or an event came and was recorded in between
		state, err := b.log.State(ctx)
		if err != nil {
			return err
		}
		if state.Last < s.Position {
			return fmt.Errorf("the stream ends at event %d, and %d were recorded: NATS_URL names another stream, or this one was lost. `postern repair` restores it from the copy",
				state.Last, s.Position)
		}
	}
	if s.Behind > longBehind {
		return fmt.Errorf("%d events are on the record that no page shows yet, the first of them since %s: is a recorder running, and what does it log?",
			s.Last-s.Position, s.Behind.Round(time.Second))
	}
	return nil
}

// serveHealth answers /healthz, /readyz and /metrics where the role has an
// address of its own; without one it serves nothing.
func (b *base) serveHealth(more map[string]check) func(context.Context) error {
	checks := map[string]check{"postgres": b.pool.Ping, "nats": b.connected}
	for name, one := range more {
		checks[name] = one
	}
	return func(ctx context.Context) error {
		if b.ListenAddr == "" {
			<-ctx.Done()
			return nil
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answerReady(w, r, checks) })
		mux.Handle("GET /metrics", b.telemetry.Handler())
		server := inbound.NewServer(mux, nil, b.logger)
		server.Addr = b.ListenAddr
		return serve(ctx, server, nil)
	}
}

// answerReady answers 200, or 503 with every reason on a line of its own.
func answerReady(w http.ResponseWriter, r *http.Request, checks map[string]check) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	var reasons []string
	for name, one := range checks {
		if err := one(ctx); err != nil {
			reasons = append(reasons, name+": "+err.Error())
		}
	}
	if len(reasons) > 0 {
		slices.Sort(reasons)
		http.Error(w, strings.Join(reasons, "\n"), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}
