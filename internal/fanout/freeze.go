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

// manifestKey gives the key of a message's manifest. Of several workers that
// make one the first is kept, so that all of them read the same manifest.
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
	err = w.Pool.QueryRow(ctx, `SELECT wrapped_key FROM app.manifest_keys WHERE message_id = $1`, message).Scan(&wrapped)
	if err != nil {
		return content.Key{}, fmt.Errorf("loading the manifest's key: %w", err)
	}
	key, err := w.Content.Unwrap(message, wrapped)
	if err != nil {
		return content.Key{}, fmt.Errorf("opening the manifest's key: %w", err)
	}
	return key, nil
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
	return r.summary()
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
