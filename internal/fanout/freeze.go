package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/content"
	audiences "postern/internal/directory/audience"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/events"
)

// manifestKey returns the key of a message's manifest, and makes it if there is none. The key is
// stored in the content store before the manifest is written, and then in its row. If several
// workers make a key, or Postgres has lost the row, the one in the content store counts, so that
// all of them read the same manifest. A crash in between leaves a key that the next worker finds.
func (w *Worker) manifestKey(ctx context.Context, message uuid.UUID) (content.Key, error) {
	var wrapped []byte
	var copied bool
	err := w.Pool.QueryRow(ctx, `SELECT wrapped_key, copied FROM app.manifest_keys WHERE message_id = $1`, message).Scan(&wrapped, &copied)
	if errors.Is(err, pgx.ErrNoRows) {
		_, wrapped, err = w.Content.NewKey(message)
	}
	if err != nil {
		return content.Key{}, fmt.Errorf("loading the manifest's key: %w", err)
	}
	if !copied {
		if wrapped, err = w.storeManifestKey(ctx, message, wrapped); err != nil {
			return content.Key{}, err
		}
	}
	key, err := w.Content.Unwrap(message, wrapped)
	if err != nil {
		return content.Key{}, fmt.Errorf("opening the manifest's key: %w", err)
	}
	return key, nil
}

// storeManifestKey stores a key in both places and returns the key that counts.
func (w *Worker) storeManifestKey(ctx context.Context, message uuid.UUID, wrapped []byte) ([]byte, error) {
	kept, err := w.Content.StoreKeys(ctx, content.ManifestKeysOf(message), message, content.Keys{WrappedKey: wrapped})
	if err != nil {
		return nil, fmt.Errorf("copying the manifest's key: %w", err)
	}
	_, err = w.Pool.Exec(ctx, `INSERT INTO app.manifest_keys (message_id, wrapped_key, copied) VALUES ($1, $2, true)
		ON CONFLICT (message_id) DO UPDATE SET wrapped_key = excluded.wrapped_key, copied = true`, message, kept.WrappedKey)
	if err != nil {
		return nil, fmt.Errorf("storing the manifest's key: %w", err)
	}
	return kept.WrappedKey, nil
}

// freeze writes the manifest, or reads the existing one. The first manifest is the audience,
// even if the directory has changed since.
func (w *Worker) freeze(ctx context.Context, m sending, key content.Key) (Summary, error) {
	summary, err := w.frozen(ctx, m.id, key)
	if !errors.Is(err, content.ErrNotFound) {
		return summary, err
	}
	r, pipe := io.Pipe()
	resolved := make(chan error, 1)
	go func() {
		var err error
		summary, err = w.resolve(ctx, m, pipe)
		pipe.CloseWithError(err) // nil ends the manifest
		resolved <- err
	}()
	_, err = w.Content.Create(ctx, content.ManifestOf(m.id), key, r)
	_ = r.Close() // unblocks resolve if Create did not read to the end
	if failed := <-resolved; failed != nil && err == nil {
		err = failed
	}
	if errors.Is(err, content.ErrExists) {
		return w.frozen(ctx, m.id, key)
	}
	return summary, err
}

// frozen reads the summary of an existing manifest.
func (w *Worker) frozen(ctx context.Context, message uuid.UUID, key content.Key) (Summary, error) {
	manifest, err := w.Content.Get(ctx, content.ManifestOf(message), key)
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = manifest.Close() }()
	r, err := newManifestReader(manifest)
	if err != nil {
		return Summary{}, err
	}
	defer r.close()
	summary, err := r.summary()
	return summary, unreadable(err)
}

// unreadable explains the error of a manifest that can't be decrypted.
func unreadable(err error) error {
	if errors.Is(err, content.ErrChanged) {
		return fmt.Errorf("the audience manifest exists but can't be decrypted: its key was lost with rows of Postgres, or the manifest was changed; "+
			"restore app.manifest_keys or the content store from a backup and retry the parked event: %w", err)
	}
	return err
}

// resolve writes the audience of one snapshot of the directory as a manifest.
func (w *Worker) resolve(ctx context.Context, m sending, to io.Writer) (Summary, error) {
	sel := audiences.Selection{PortalUserIDs: m.recipients.PortalUserIDs}
	for _, g := range m.recipients.Groups {
		sel.Groups = append(sel.Groups, audiences.Group(g))
	}
	frozen, err := audiences.Freeze(ctx, w.rosters, sel, w.Facts.Now())
	if err != nil {
		return Summary{}, err
	}
	key, err := w.Facts.Key(ctx)
	if err != nil {
		return Summary{}, err
	}
	manifest, err := newManifestWriter(to, m.id, key)
	if err != nil {
		return Summary{}, err
	}
	if len(sel.Groups) > 0 {
		err = w.cite(ctx, m, frozen, manifest)
	} else {
		err = name(frozen, manifest)
	}
	if err != nil {
		return Summary{}, err
	}
	return manifest.close(frozen.Included, frozen.Excluded)
}

// cite adds the audience of groups to a manifest. The state of the directory and the rosters of the
// recipients are copied to the content store first: from then on a loss of Postgres does not make
// the recipients unknown. After a crash here the next worker freezes again, on a state of its own.
func (w *Worker) cite(ctx context.Context, m sending, frozen *audiences.Audience, to *manifestWriter) error {
	state, err := w.rosters.KeepState(ctx, frozen.Directory)
	if err != nil {
		return err
	}
	day := field.Time(frozen.Day)
	to.summary.Directory, to.summary.Day = state.Name(), day.Format(time.DateOnly)
	blocks, roots := make([]events.CitedBlock, len(frozen.Blocks)), make([]roster.Digest, len(frozen.Blocks))
	for i, b := range frozen.Blocks {
		blocks[i], roots[i] = events.CitedBlock{No: b.No, Roster: b.Root, Members: b.Members}, b.Root
	}
	if err := w.rosters.Keep(ctx, roots); err != nil {
		return err
	}
	return to.addBlocks(events.DeliveriesByBlock{MessageID: m.id, Day: day, Groups: m.recipients.Groups, Selection: m.selection}, blocks)
}

// name adds chosen portal users to a manifest.
func name(frozen *audiences.Audience, to *manifestWriter) error {
	var r events.Recipient
	for _, d := range frozen.Chosen {
		r.PortalUserID, r.PortalUserNo, r.Links = d.ID, d.No, r.Links[:0]
		for _, t := range d.Patients {
			r.Links = append(r.Links, events.Link{PatientID: t.ID, PatientNo: t.No, Relationship: t.Relationship})
		}
		if err := to.add(&r); err != nil {
			return err
		}
	}
	return nil
}
