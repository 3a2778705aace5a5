package compose

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/attachment"
	"postern/internal/content/message"
)

// sealedName is the field name under which an attachment's name is sealed.
const sealedName = "name"

// Scans reports whether a virus scanner checks each document.
func (c *Composer) Scans() bool { return c.cfg.Scanner != nil }

// Upload stores a document for a message: part of step 1. Its errors are those of
// [attachment.Uploader.Upload] and of [policy.Allow]; after an error, nothing is stored.
func (c *Composer) Upload(ctx context.Context, staff policy.Subject, name string, file io.Reader) (message.Attachment, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return message.Attachment{}, err
	}
	up, err := attachment.Uploader{Store: c.cfg.Content, Scanner: c.cfg.Scanner}.Upload(ctx, uuid.New(), name, file)
	if err != nil {
		return message.Attachment{}, err
	}
	if err := c.keepUpload(ctx, staff, up, nil); err != nil {
		return message.Attachment{}, err
	}
	return message.Attachment{ID: up.ID, Name: up.Name, Size: up.Size, MediaType: up.MediaType,
		SHA256: hex.EncodeToString(up.SHA256[:]), WrappedKey: up.WrappedKey}, nil
}

// keepUpload inserts the row of a stored document; if that fails, it deletes the document.
// The row of a copy is deleted with the content of the original message. A crash before
// keepUpload leaves a blob that no row names and whose key is lost.
func (c *Composer) keepUpload(ctx context.Context, staff policy.Subject, up attachment.Uploaded, copyOf *uuid.UUID) error {
	err := c.insertUpload(ctx, staff, up, copyOf)
	if err != nil {
		_ = c.cfg.Content.Delete(context.WithoutCancel(ctx), content.AttachmentOf(up.ID))
	}
	return err
}

func (c *Composer) insertUpload(ctx context.Context, staff policy.Subject, up attachment.Uploaded, copyOf *uuid.UUID) error {
	key, err := c.cfg.Content.Unwrap(up.ID, up.WrappedKey)
	if err != nil {
		return err
	}
	name, err := key.Seal(sealedName, []byte(up.Name))
	if err != nil {
		return err
	}
	_, err = c.pool.Exec(ctx, `
		INSERT INTO app.attachments (attachment_id, staff_id, wrapped_key, sealed_name, size, media_type, sha256, uploaded_at, copy_of)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		up.ID, staff.ID, up.WrappedKey, name, up.Size, up.MediaType, up.SHA256[:], c.now(), copyOf)
	if err != nil {
		return fmt.Errorf("keeping the upload: %w", err)
	}
	return nil
}

// Uploads returns the uploads with the ids, in the order of ids, without those of other
// senders.
func (c *Composer) Uploads(ctx context.Context, staff policy.Subject, ids []uuid.UUID) ([]message.Attachment, error) {
	if len(ids) == 0 {
		return []message.Attachment{}, nil
	}
	found, err := c.uploads(ctx, staff, ids)
	if err != nil {
		return nil, err
	}
	var all []message.Attachment
	for _, id := range ids {
		if a, ok := found[id]; ok {
			all = append(all, a)
		}
	}
	return all, nil
}

// attachments returns the sender's uploads in the order of ids, and adds a fault for each
// one that does not exist.
func (c *Composer) attachments(ctx context.Context, f *faults, staff policy.Subject, ids []uuid.UUID) ([]message.Attachment, error) {
	if len(ids) == 0 {
		return []message.Attachment{}, nil
	}
	found, err := c.uploads(ctx, staff, ids)
	if err != nil {
		return nil, err
	}
	all := make([]message.Attachment, len(ids))
	for i, id := range ids {
		var ok bool
		if all[i], ok = found[id]; !ok {
			f.add(fmt.Sprintf("body.attachment_ids[%d]", i), "you have uploaded no attachment %s: upload it again", id)
		}
	}
	return all, nil
}

func (c *Composer) uploads(ctx context.Context, staff policy.Subject, ids []uuid.UUID) (map[uuid.UUID]message.Attachment, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT attachment_id, wrapped_key, sealed_name, size, media_type, sha256
		FROM app.attachments WHERE attachment_id = ANY($1) AND staff_id = $2`, ids, staff.ID)
	if err != nil {
		return nil, fmt.Errorf("looking uploads up: %w", err)
	}
	found := make(map[uuid.UUID]message.Attachment, len(ids))
	var a message.Attachment
	var name, sum []byte
	_, err = pgx.ForEachRow(rows, []any{&a.ID, &a.WrappedKey, &name, &a.Size, &a.MediaType, &sum}, func() error {
		key, err := c.cfg.Content.Unwrap(a.ID, a.WrappedKey)
		if err != nil {
			return err
		}
		plain, err := key.Open(sealedName, name)
		if err != nil {
			return err
		}
		a.Name, a.SHA256 = string(plain), hex.EncodeToString(sum)
		found[a.ID] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking uploads up: %w", err)
	}
	return found, nil
}
