package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/recorder/position"
)

const (
	source = "/fanout-worker"
	actor  = "process:fanout-worker"

	// batchChunks go to the record in one atomic batch, which is one fsync.
	batchChunks = 16
	// aheadBatches is how many batches may be published and not yet recorded.
	aheadBatches = 2
)

// Config is what a Worker works with.
type Config struct {
	Pool     *pgxpool.Pool
	Position *position.Watcher
	Content  *content.Store
	Publish  func(context.Context, ...events.Event) (uint64, error)
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// A Worker expands messages. Its methods are safe to call from many goroutines
// at once, and any number of Workers may be given the same message: they come to
// one audience.
type Worker struct{ Config }

// New makes a Worker.
func New(c Config) *Worker {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Worker{c}
}

// sending is a message to be expanded.
type sending struct {
	id         uuid.UUID
	recipients events.Selection
}

// HandleSent expands a message that is due at once. Bulk says which of the two
// lanes calls; a message of the other is left to it.
func (w *Worker) HandleSent(ctx context.Context, e events.Event, bulk bool) error {
	m, err := events.Decode[events.MessageSent](e)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrMalformed, err)
	}
	if m.Hold != events.HoldNone || m.Recipients.IsBulk() != bulk {
		return nil
	}
	return w.expand(ctx, sending{m.MessageID, m.Recipients})
}

// HandleReleased expands a held message whose time has come, unless it was
// called off first: the recorder, which saw both in the order of the record,
// says which.
func (w *Worker) HandleReleased(ctx context.Context, e events.Event, seq uint64, bulk bool) error {
	if err := w.Position.Wait(ctx, seq); err != nil {
		return err
	}
	var recipients []byte
	var status string
	err := w.Pool.QueryRow(ctx, `SELECT recipients, status FROM record.messages WHERE message_id = $1`, e.MessageID).
		Scan(&recipients, &status)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%w: message.released without a message.sent", events.ErrMalformed)
	}
	if err != nil {
		return fmt.Errorf("loading message %s: %w", e.MessageID, err)
	}
	m := sending{id: e.MessageID}
	if err := json.Unmarshal(recipients, &m.recipients); err != nil {
		return fmt.Errorf("reading the recipients of message %s: %w", e.MessageID, err)
	}
	if status == "cancelled" || m.recipients.IsBulk() != bulk {
		return nil
	}
	return w.expand(ctx, m)
}

// progress is what of a message stands on the record already.
type progress struct {
	resolved, completed bool
	chunks              int
}

func (w *Worker) expand(ctx context.Context, m sending) error {
	done, err := w.progress(ctx, m.id)
	if err != nil || done.completed {
		return err
	}
	key, err := w.manifestKey(ctx, m.id)
	if err != nil {
		return err
	}
	// Commit point 4: after this the audience is frozen, whoever goes on.
	summary, err := w.freeze(ctx, m, key)
	if err != nil {
		return fmt.Errorf("freezing the audience of message %s: %w", m.id, err)
	}
	if !done.resolved {
		err := w.publish(ctx, events.AudienceResolved{MessageID: m.id, Count: summary.Count, Chunks: summary.Chunks,
			ManifestDigest: summary.Digest, Included: summary.Included, Excluded: summary.Excluded})
		if err != nil {
			return err
		}
	}
	if err := w.publishChunks(ctx, m.id, key, summary, done.chunks); err != nil {
		return fmt.Errorf("expanding message %s: %w", m.id, err)
	}
	// Commit point 5. A crash before it leaves the chunks, of which the next
	// worker publishes those that aren't recorded.
	return w.publish(ctx, events.FanoutCompleted{MessageID: m.id, Deliveries: summary.Count, Chunks: summary.Chunks})
}

// progress asks the recorder. What it can't know yet is published again, under
// the same ids.
func (w *Worker) progress(ctx context.Context, id uuid.UUID) (progress, error) {
	var p progress
	err := w.Pool.QueryRow(ctx, `
		SELECT audience IS NOT NULL, completed_at IS NOT NULL,
		       (SELECT coalesce(max(chunk) + 1, 0) FROM record.chunks c WHERE c.message_id = m.message_id)
		FROM record.messages m WHERE message_id = $1`, id).Scan(&p.resolved, &p.completed, &p.chunks)
	if errors.Is(err, pgx.ErrNoRows) {
		return progress{}, nil
	}
	if err != nil {
		return progress{}, fmt.Errorf("loading the progress of message %s: %w", id, err)
	}
	return p, nil
}

// publishChunks puts the manifest on the record from chunk skip on.
func (w *Worker) publishChunks(ctx context.Context, id uuid.UUID, key content.Key, summary Summary, skip int) error {
	manifest, err := w.Content.Get(ctx, content.ManifestOf(id), key)
	if err != nil {
		return fmt.Errorf("opening the manifest: %w", err)
	}
	defer func() { _ = manifest.Close() }()
	r, err := newManifestReader(manifest)
	if err != nil {
		return err
	}
	defer r.close()
	var published []uint64 // last sequence of each batch that may not be recorded yet
	for done := false; !done; {
		batch := make([]events.Event, 0, batchChunks)
		for len(batch) < batchChunks && !done {
			chunk, body, err := r.body()
			switch {
			case errors.Is(err, io.EOF):
				done = true
			case err != nil:
				return err
			case chunk >= skip:
				batch = append(batch, w.chunkEvent(id, chunk, summary.Chunks, body))
			}
		}
		if len(batch) == 0 {
			continue
		}
		last, err := w.Publish(ctx, batch...)
		if err != nil {
			return fmt.Errorf("publishing chunks: %w", err)
		}
		published = append(published, last)
		if len(published) > aheadBatches {
			if err := w.Position.Wait(ctx, published[0]); err != nil {
				return err
			}
			published = published[1:]
		}
	}
	return nil
}

func (w *Worker) chunkEvent(id uuid.UUID, chunk, of int, body []byte) events.Event {
	e := events.NewEncoded(source, actor, w.Now(), events.DeliveriesCreated{MessageID: id, Chunk: chunk}, body)
	e.Chunk = &events.ChunkRef{Index: chunk, Of: of}
	return e
}

func (w *Worker) publish(ctx context.Context, body events.Body) error {
	e, err := events.New(source, actor, w.Now(), body)
	if err != nil {
		return err
	}
	if _, err := w.Publish(ctx, e); err != nil {
		return fmt.Errorf("publishing %s of message %s: %w", e.Type, e.MessageID, err)
	}
	return nil
}
