package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/pace"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
	"postern/internal/recorder/state"
)

const (
	source = "/fanout-worker"
	actor  = "process:fanout-worker"

	// batchChunks is the most chunks in one atomic batch. NATS writes each batch to files of its
	// own first, so few large batches are published faster. Beside small messages it is
	// smallBatchChunks: they wait for at most one batch.
	batchChunks, smallBatchChunks = 192, 16
	// batchBytes bounds a batch whose chunks name their recipients one by one.
	batchBytes = 4 << 20
	// aheadBatches is the number of batches that may be published but not yet recorded.
	aheadBatches = 2
)

// Config holds the dependencies of a Worker.
type Config struct {
	Pool     *pgxpool.Pool
	Position *position.Watcher
	Content  *content.Store
	Facts    facts.Publisher // without its Source, which New sets
	Logger   *slog.Logger
	// Pace lets blasts leave room for small messages; nil: for those of this Worker.
	Pace *pace.Pace
}

// A Worker expands messages. Its methods are safe for concurrent use. Several Workers may
// expand the same message; all of them use the same audience.
type Worker struct {
	Config
	rosters *rosterstore.Store
}

// New returns a Worker.
func New(c Config) *Worker {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Pace == nil {
		c.Pace = &pace.Pace{}
	}
	c.Facts.Source = source
	return &Worker{c, rosterstore.New(rosterstore.Config{Pool: c.Pool, Content: c.Content, Logger: c.Logger})}
}

// sending is a message to expand.
type sending struct {
	id         uuid.UUID
	recipients events.Selection
	selection  string // their digest
}

// sendingOf returns the message of a message.sent.
func sendingOf(m events.MessageSent) sending {
	return sending{m.MessageID, m.Recipients, m.SelectionDigest()}
}

// HandleSent expands a message that is due at once. bulk says which of the two consumers
// calls; it ignores messages of the other one.
func (w *Worker) HandleSent(ctx context.Context, e events.Event, bulk bool) error {
	m, err := events.Decode[events.MessageSent](e)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrMalformed, err)
	}
	if m.Hold != events.HoldNone || m.Recipients.IsBulk() != bulk {
		return nil
	}
	return w.expand(ctx, sendingOf(m))
}

// HandleReleased expands a held message that was released, unless it was cancelled before.
// The recorder's status decides, because the recorder handles both events in the order of
// the record.
func (w *Worker) HandleReleased(ctx context.Context, e events.Event, seq uint64, bulk bool) error {
	if err := w.Position.Wait(ctx, seq); err != nil {
		return err
	}
	var status state.Message
	var sent int64
	var stored []byte
	err := w.Pool.QueryRow(ctx, `SELECT m.status, e.seq, e.stored FROM record.messages m JOIN record.events e USING (seq) WHERE m.message_id = $1`, e.MessageID).
		Scan(&status, &sent, &stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%w: message.released without a message.sent", events.ErrMalformed)
	}
	if err != nil {
		return fmt.Errorf("loading message %s: %w", e.MessageID, err)
	}
	m, err := readSent(sent, stored)
	if err != nil {
		return fmt.Errorf("reading the event of message %s: %w", e.MessageID, err)
	}
	if status == state.Cancelled || m.recipients.IsBulk() != bulk {
		return nil
	}
	return w.expand(ctx, m)
}

// readSent reads the stored message.sent.
func readSent(seq int64, stored []byte) (sending, error) {
	s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
	if err != nil {
		return sending{}, err
	}
	e, err := events.Parse(s.Header, s.Data)
	if err != nil {
		return sending{}, err
	}
	m, err := events.Decode[events.MessageSent](e)
	return sendingOf(m), err
}

// progress describes which events of a message are already recorded.
type progress struct {
	resolved, completed bool
	chunks              int
}

func (w *Worker) expand(ctx context.Context, m sending) error {
	if !m.recipients.IsBulk() {
		w.Pace.Small()
	}
	done, err := w.progress(ctx, m.id)
	if err != nil || done.completed {
		return err
	}
	key, err := w.manifestKey(ctx, m.id)
	if err != nil {
		return err
	}
	// Commit point 4: after this the audience is frozen, for every worker that continues.
	summary, err := w.freeze(ctx, m, key)
	if err != nil {
		return fmt.Errorf("freezing the audience of message %s: %w", m.id, err)
	}
	if err := w.publish(ctx, m.id, key, summary, done); err != nil {
		return fmt.Errorf("expanding message %s: %w", m.id, err)
	}
	return nil
}

// progress reads the recorder's tables. Events that are not recorded yet are published
// again, with the same ids.
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

// publish publishes the events of a frozen audience that are not recorded yet, in atomic batches:
// audience.resolved with the first chunks, and fanout.completed with the last ones. So a small
// message is one batch.
func (w *Worker) publish(ctx context.Context, id uuid.UUID, key content.Key, summary Summary, recorded progress) error {
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
	var published []uint64 // the last sequence of each batch
	for done, most := false, smallBatchChunks; !done; {
		began := time.Now()
		batch := make([]events.Event, 0, most+2)
		if len(published) == 0 && !recorded.resolved {
			batch, err = w.append(batch, summary.resolved(id))
			if err != nil {
				return err
			}
		}
		for chunks, size := 0, 0; chunks < most && size < batchBytes && !done; {
			chunk, body, err := r.body()
			switch {
			case errors.Is(err, io.EOF):
				done = true
			case err != nil:
				return err
			case chunk >= recorded.chunks:
				batch = append(batch, w.chunkEvent(id, chunk, summary.Chunks, body))
				chunks++
				size += len(body)
			}
		}
		if done {
			batch, err = w.append(batch, events.FanoutCompleted{MessageID: id, Deliveries: summary.Count, Chunks: summary.Chunks, Notice: true})
			if err != nil {
				return err
			}
		}
		// Commit point 5 is the last batch. A crash before it leaves the batches before it; the
		// next worker publishes the chunks that aren't recorded.
		last, err := w.Facts.Send(ctx, batch...)
		if err != nil {
			return fmt.Errorf("publishing chunks: %w", err)
		}
		published = append(published, last)
		if done {
			break
		}
		// Beside small work, the recorder gets one batch at a time: a small message waits for the
		// batches before it.
		small, err := w.Pace.Rest(ctx, time.Since(began))
		if err != nil {
			return err
		}
		ahead := aheadBatches
		most = batchChunks
		if small {
			ahead, most = 0, smallBatchChunks
		}
		if len(published) > ahead {
			if err := w.Position.Wait(ctx, published[len(published)-1-ahead]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Worker) append(batch []events.Event, body events.Body) ([]events.Event, error) {
	e, err := events.New(source, actor, w.Facts.Now(), body)
	return append(batch, e), err
}

func (w *Worker) chunkEvent(id uuid.UUID, chunk, of int, body []byte) events.Event {
	return events.NewChunk(source, actor, w.Facts.Now(), id, events.ChunkRef{Index: chunk, Of: of}, body)
}
