package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog"
	"postern/internal/events"
)

// batch publishes events in batches of a thousand. After an error it does nothing.
type batch struct {
	log  *eventlog.Log
	some []events.Event
	last uint64 // the sequence of the last event that was published
	err  error
}

// publish publishes n events with times spread evenly from since until now. It calls say
// for each, and leaves out an event if say returns no body.
func (b *batch) publish(ctx context.Context, since time.Time, n int, say func(i int) (actor string, body events.Body)) {
	step := time.Since(since) / time.Duration(n)
	for i := range n {
		actor, body := say(i)
		if body == nil || b.err != nil {
			continue
		}
		e, err := events.New("/bench", actor, since.Add(time.Duration(i+1)*step), body)
		if err != nil {
			b.err = err
			return
		}
		if b.some = append(b.some, e); len(b.some) == 1000 {
			b.flush(ctx)
		}
	}
}

func (b *batch) flush(ctx context.Context) {
	if b.err == nil && len(b.some) > 0 {
		b.last, b.err = b.log.Publish(ctx, b.some...)
	}
	b.some = b.some[:0]
}

// waitForRecorder waits until the recorder has projected every event that is stored now.
func (s *system) waitForRecorder(ctx context.Context, conn *pgx.Conn) error {
	log, err := s.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	state, err := log.State(ctx)
	if err != nil {
		return err
	}
	return waitForPosition(ctx, conn, state.Last)
}

// waitForPosition waits until the recorder has projected the event seq.
func waitForPosition(ctx context.Context, conn *pgx.Conn, seq uint64) error {
	for at := uint64(0); at < seq; time.Sleep(5 * time.Millisecond) {
		if err := conn.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&at); err != nil {
			return err
		}
	}
	return nil
}

// openLog connects to the system's stream as its administrator.
func (s *system) openLog(ctx context.Context) (*eventlog.Log, error) {
	var run struct {
		NATSURLs map[string]string `json:"nats_urls"`
	}
	data, err := os.ReadFile(filepath.Join(s.data, "run.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &run); err != nil {
		return nil, err
	}
	return eventlog.Connect(ctx, eventlog.Config{URL: run.NATSURLs[events.Admin], Name: "bench"})
}
