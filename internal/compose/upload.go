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

// sealedName is the field that an attachment's name is sealed as.
const sealedName = "name"

// Upload keeps a document that staff are about to send: part of step 1. Its
// errors are those of [attachment.Uploader.Upload] and of [policy.Allow]; with
// any, nothing is kept.
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

// keepUpload makes the row of a document that is stored, or deletes the document. Where
// it is a copy, the row goes with the content of the message that it was copied from. A
// crash before it leaves a blob that no row names and whose key is lost.
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

// Uploads gives those of the uploads that are the sender's, in the order asked
// for. Somebody else's is not there.
func (c *Composer) Uploads(ctx context.Context, staff policy.Subject, ids []uuid.UUID) ([]message.Attachment, error) {
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

// attachments gives the uploads of that sender in the order asked for, and adds a
// fault for each that there is not.
func (c *Composer) attachments(ctx context.Context, f *faults, staff policy.Subject, ids []uuid.UUID) ([]message.Attachment, error) {
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
