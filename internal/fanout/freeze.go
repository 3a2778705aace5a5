package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/directory"
	"postern/internal/events"
)

// manifestKey gives the key of a message's manifest. Of several workers that make one the
// first is kept, so that all of them read the same manifest. The key is also in the content
// store before the manifest is: where Postgres has lost the row, and a worker has made
// another key, the one in the content store counts.
func (w *Worker) manifestKey(ctx context.Context, message uuid.UUID) (content.Key, error) {
	_, fresh, err := w.Content.NewKey(message)
	if err != nil {
		return content.Key{}, fmt.Errorf("making a key for the manifest: %w", err)
	}
	_, err = w.Pool.Exec(ctx, `INSERT INTO app.manifest_keys (message_id, wrapped_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		message, fresh)
	if err != nil {
		return content.Key{}, fmt.Errorf("keeping the manifest's key: %w", err)
	}
	var wrapped []byte
	var copied bool
	err = w.Pool.QueryRow(ctx, `SELECT wrapped_key, copied FROM app.manifest_keys WHERE message_id = $1`, message).Scan(&wrapped, &copied)
	if err != nil {
		return content.Key{}, fmt.Errorf("loading the manifest's key: %w", err)
	}
	if !copied {
		if wrapped, err = w.copyManifestKey(ctx, message, wrapped); err != nil {
			return content.Key{}, err
		}
	}
	key, err := w.Content.Unwrap(message, wrapped)
	if err != nil {
		return content.Key{}, fmt.Errorf("opening the manifest's key: %w", err)
	}
	return key, nil
}

// copyManifestKey stores the key in the content store and gives the one that counts. A
// crash before the row says so has it done again, in vain.
func (w *Worker) copyManifestKey(ctx context.Context, message uuid.UUID, wrapped []byte) ([]byte, error) {
	kept, err := w.Content.KeepKeys(ctx, content.ManifestKeysOf(message), message, content.Keys{WrappedKey: wrapped})
	if err != nil {
		return nil, fmt.Errorf("copying the manifest's key: %w", err)
	}
	_, err = w.Pool.Exec(ctx, `UPDATE app.manifest_keys SET wrapped_key = $2, copied = true WHERE message_id = $1`, message, kept.WrappedKey)
	if err != nil {
		return nil, fmt.Errorf("keeping the manifest's key: %w", err)
	}
	return kept.WrappedKey, nil
}

// freeze makes the manifest, or finds the one that is there: whatever the
// directory says now, the first manifest is the audience.
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
	_ = r.Close() // frees resolve where Create did not read to the end
	if failed := <-resolved; failed != nil && err == nil {
		err = failed
	}
	if errors.Is(err, content.ErrExists) {
		return w.frozen(ctx, m.id, key)
	}
	return summary, err
}

// frozen reads the summary of a manifest that is there.
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

// unreadable says what a manifest that does not open means.
func unreadable(err error) error {
	if errors.Is(err, content.ErrChanged) {
		return fmt.Errorf("the audience manifest is there and can't be opened: its key was lost with rows of Postgres, or the manifest was changed; "+
			"restore app.manifest_keys or the content store from a backup and retry the parked event: %w", err)
	}
	return err
}

// resolve writes the audience of one snapshot of the directory as a manifest.
func (w *Worker) resolve(ctx context.Context, m sending, to io.Writer) (Summary, error) {
	sel := directory.Selection{PortalUserIDs: m.recipients.PortalUserIDs}
	for _, g := range m.recipients.Groups {
		sel.Groups = append(sel.Groups, directory.Group(g))
	}
	manifest, err := newManifestWriter(to, m.id)
	if err != nil {
		return Summary{}, err
	}
	var r events.Recipient
	tally, err := directory.Resolve(ctx, w.Pool, sel, w.Now(), func(d directory.Recipient) error {
		r.PortalUserID, r.PortalUserNo, r.Links = d.ID, d.No, r.Links[:0]
		for _, t := range d.Patients {
			r.Links = append(r.Links, events.Link{PatientID: t.ID, PatientNo: t.No, Relationship: t.Relationship})
		}
		return manifest.add(&r)
	})
	if err != nil {
		return Summary{}, err
	}
	return manifest.close(tally.Included, tally.Excluded)
}
