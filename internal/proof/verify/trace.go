package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/verify/audiences"
	"postern/internal/recorder/rebuild"
)

// trace follows each message from its sending to its audience, its deliveries and its
// alerts, and reports the first event that does not follow from the earlier ones. Openings
// by portal users are checked in the tables; see [Verifier.relations].
type trace map[uuid.UUID]*messageState

// messageState is the state of one message after the events so far.
type messageState struct {
	seq        uint64 // of message.sent
	audience   *events.AudienceResolved
	chunks     []int32   // the number of deliveries in each chunk
	deliveries int       // in all chunks
	manifest   hash.Hash // over the digests of the chunks; nil after it was compared
	to         *audiences.Sent
}

func (t trace) add(e rebuild.Replayed) error {
	id := e.Event.MessageID
	if id == uuid.Nil {
		return nil
	}
	m := t[id]
	if e.Event.Type == events.TypeMessageSent {
		if m != nil {
			return nil
		}
		sent, err := events.Decode[events.MessageSent](e.Event)
		t[id] = &messageState{seq: e.Seq, manifest: sha256.New(), to: audiences.To(sent)}
		return err
	}
	if m == nil {
		return fmt.Errorf("%s of message %s, which was not sent before it", e.Event.Type, id)
	}
	switch t := e.Event.Type; {
	case t == events.TypeAudienceResolved:
		return m.resolve(e.Event)
	case t == events.TypeDeliveriesCreated:
		return m.deliver(e)
	case t == events.TypeFanoutCompleted:
		return m.complete(e.Event)
	case t.IsOutcome():
		return m.alert(e.Event)
	}
	return nil
}

func (m *messageState) resolve(e events.Event) error {
	a, err := events.Decode[events.AudienceResolved](e)
	if err == nil && m.audience == nil {
		m.audience = &a
	}
	return err
}

func (m *messageState) deliver(e rebuild.Replayed) error {
	switch n := e.Event.Chunk.Index; {
	case m.audience == nil:
		return fmt.Errorf("deliveries of message %s, whose audience was never frozen", e.Event.MessageID)
	case n < len(m.chunks) && int(m.chunks[n]) == e.Recipients:
		return nil // a repeated event
	case n != len(m.chunks) || n >= m.audience.Chunks:
		return fmt.Errorf("chunk %d of message %s, where chunk %d of %d was due", n, e.Event.MessageID, len(m.chunks), m.audience.Chunks)
	}
	m.chunks = append(m.chunks, int32(e.Recipients)) // #nosec G115 -- a chunk has a thousand
	m.deliveries += e.Recipients
	digest := sha256.Sum256(e.Data)
	m.manifest.Write(digest[:])
	return nil
}

func (m *messageState) complete(e events.Event) error {
	if m.audience == nil {
		return fmt.Errorf("the end of message %s, whose audience was never frozen", e.MessageID)
	}
	if m.deliveries != m.audience.Count || len(m.chunks) != m.audience.Chunks {
		return fmt.Errorf("message %s has %d deliveries in %d chunks, and its audience %d in %d", e.MessageID, m.deliveries, len(m.chunks), m.audience.Count, m.audience.Chunks)
	}
	if m.manifest == nil {
		return nil // a repeated event
	}
	if got := "sha256:" + hex.EncodeToString(m.manifest.Sum(nil)); got != m.audience.ManifestDigest {
		return fmt.Errorf("the deliveries of message %s are not the audience that was frozen", e.MessageID)
	}
	m.manifest = nil
	return nil
}

func (m *messageState) alert(e events.Event) error {
	if e.Chunk == nil || e.Chunk.Index >= len(m.chunks) {
		return fmt.Errorf("%s of message %s, for a chunk that was never delivered", e.Type, e.MessageID)
	}
	return nil
}

// load adds the events before a checkpoint of the messages that have events after it. It
// reads them from the copy, and checks each with a proof for the checkpoint.
func (t trace) load(ctx context.Context, pool *pgxpool.Pool, since *checkpoint.Checkpoint, hashes tlog.HashReader) error {
	rows, err := pool.Query(ctx, `SELECT seq, stored FROM record.events e WHERE seq <= $1 AND repeats IS NULL
		AND type IN ('message.sent', 'audience.resolved', 'deliveries.created', 'fanout.completed')
		AND message_id IN (SELECT message_id FROM record.events WHERE seq > $1) ORDER BY seq`, since.Size)
	if err != nil {
		return fmt.Errorf("reading events from before the checkpoint: %w", err)
	}
	type row struct {
		Seq    int64
		Stored []byte
	}
	before, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading events from before the checkpoint: %w", err)
	}
	for _, r := range before {
		s, err := merkle.Unpack(uint64(r.Seq), r.Stored) // #nosec G115 -- a sequence
		if err != nil {
			return err
		}
		size := int64(since.Size) // #nosec G115 -- parsed as 63 bits
		proof, err := tlog.ProveRecord(size, r.Seq-1, hashes)
		if err == nil {
			err = tlog.CheckRecord(proof, size, since.Root, r.Seq-1, tlog.Hash(merkle.Leaf(&s)))
		}
		if err != nil {
			return fmt.Errorf("event %d, from before the checkpoint, was changed since: %w", r.Seq, err)
		}
		e := rebuild.Look(&s)
		if err := t.add(e); err != nil {
			return fmt.Errorf("event %d, from before the checkpoint: %w", r.Seq, err)
		}
		if m := t[e.Event.MessageID]; m != nil {
			m.to.Before(e.Seq, e.Event)
		}
	}
	return nil
}

// relations looks for openings, downloads and alerts without a delivery, in tables that were
// compared with the record before.
func (v *Verifier) relations(ctx context.Context) error {
	for _, table := range []string{"opens", "downloads", "alert_exceptions"} {
		var message uuid.UUID
		var portalUser int32
		err := v.Pool.QueryRow(ctx, `SELECT x.message_id, x.portal_user_no FROM record.`+table+` x
			LEFT JOIN record.inbox i ON i.message_id = x.message_id AND i.block = record.block_of(x.portal_user_no)
			                        AND record.has_member(i.members, record.place_of(x.portal_user_no))
			WHERE i.message_id IS NULL ORDER BY 1, 2 LIMIT 1`).Scan(&message, &portalUser)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("tracing %s: %w", table, err)
		}
		v.fault("record."+table, 0, "message %s was never delivered to portal user number %d", message, portalUser)
	}
	return nil
}
