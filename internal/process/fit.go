package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/store"
	"postern/internal/telemetry"
)

// Fit refuses keys and stores that do not belong together. Each role calls it; a process with
// several roles calls it before any of them serves.
func Fit(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger) error {
	b, err := open(ctx, c, config.API, store.RoleAPI, 2, tell, logger)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.mustBelong(ctx); err != nil {
		return err
	}
	if c.CheckpointKeyFile != "" {
		if _, err := b.checkpointKeys(ctx); err != nil {
			return err
		}
	}
	kept, err := b.content(ctx)
	if err != nil {
		return err
	}
	return kept.Close()
}

// sample is how many of the latest rows of a table are tried. A single row may be damaged, or
// its sender may have been killed.
const sample = 5

// wrapped are queries for the latest content keys that each process can read, without those
// that an operator gave up. The parameter is how many.
var wrapped = map[config.Process]string{
	config.API: `
		SELECT id, wrapped_key FROM (
			(SELECT message_id AS id, wrapped_key, created_at AS at FROM app.message_content ORDER BY created_at DESC LIMIT $1)
			UNION ALL (SELECT attachment_id, wrapped_key, uploaded_at FROM app.attachments ORDER BY uploaded_at DESC LIMIT $1)
			UNION ALL (SELECT draft_id, wrapped_key, saved_at FROM app.drafts ORDER BY saved_at DESC LIMIT $1)
			UNION ALL (SELECT wording_id, wrapped_key, saved_at FROM app.wordings ORDER BY saved_at DESC LIMIT $1)
			UNION ALL (SELECT change_id, wrapped_key, made_at FROM app.second_factors ORDER BY made_at DESC LIMIT $1)) k
		WHERE at > coalesce((SELECT max(accepted_at) FROM app.losses WHERE part = 'content.key'), '-infinity')`,
	config.Fanout: `
		SELECT id, wrapped_key FROM (
			SELECT message_id AS id, wrapped_key, sent_at AS at FROM app.manifest_keys JOIN record.messages USING (message_id)
			ORDER BY sent_at DESC LIMIT $1) k
		WHERE at > coalesce((SELECT max(accepted_at) FROM app.losses WHERE part = 'content.key'), '-infinity')`,
}

// content opens the content store. If the store can't be reached, it logs that. It refuses a
// store that is not the one that this system used before.
func (b *base) content(ctx context.Context) (*content.Store, error) {
	kept, err := content.Open(ctx, b.ContentURL, b.ContentKeyFile)
	if err != nil {
		return nil, err
	}
	b.reach(ctx, "content", b.ContentURL, kept.Reach)
	if err := b.mustFit(ctx, kept); err != nil {
		return nil, errors.Join(err, kept.Close())
	}
	return kept, nil
}

// mustFit refuses a content key that can't open any of the latest content, and a content
// store that has neither the latest messages nor, as an older backup would, the first ones.
// With either, no sent message could be read, and later messages would be stored apart from
// the earlier ones.
func (b *base) mustFit(ctx context.Context, kept *content.Store) error {
	opens, all, err := b.count(ctx, wrapped[b.process], func(id uuid.UUID, key []byte) (bool, error) {
		_, err := kept.Unwrap(id, key)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("trying the content key: %w", err)
	}
	if all > 0 && opens == 0 {
		return fmt.Errorf("the key in %s can't open the stored content: it is another key. Restore the right key from its copy. "+
			"If that is lost, `postern recover --without content.key` goes on with this key, and earlier messages can't be read any more", b.ContentKeyFile)
	}
	if b.process != config.API {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	there, all, err := b.count(ctx, `
		SELECT message_id, NULL::bytea FROM (
			(SELECT message_id, created_at FROM app.message_content JOIN record.messages USING (message_id) ORDER BY created_at DESC LIMIT $1)
			UNION (SELECT message_id, created_at FROM app.message_content JOIN record.messages USING (message_id) ORDER BY created_at LIMIT $1)) m
		WHERE created_at > coalesce((SELECT max(accepted_at) FROM app.losses WHERE part = 'content'), '-infinity')`,
		func(message uuid.UUID, _ []byte) (bool, error) { return kept.Has(ctx, content.BodyOf(message)) })
	if err != nil {
		// If a bucket can't be reached, its users retry.
		b.logger.Error("it can't be checked whether this is the content store that was used before", "error", err)
		return nil
	}
	if all > 0 && there == 0 {
		return fmt.Errorf("the content store %s has none of the sent messages: it is empty, or another store. Name the right one with CONTENT_URL, or restore it from a backup. "+
			"If it is lost, `postern recover --without content` goes on with this one, and earlier messages can't be read any more", b.ContentURL)
	}
	return nil
}

// read runs a query of the start, which waits while a store does not answer: a process that
// starts when Postgres or NATS restarts must not end.
func (b *base) read(ctx context.Context, query func() error) error {
	return store.Retry(ctx, b.logger, "the start waits for Postgres and NATS", query)
}

// count returns for how many rows holds is true, and the number of rows.
func (b *base) count(ctx context.Context, sql string, holds func(uuid.UUID, []byte) (bool, error)) (held, all int, err error) {
	type row struct {
		ID  uuid.UUID
		Key []byte
	}
	var found []row
	err = b.read(ctx, func() error {
		rows, err := b.pool.Query(ctx, sql, sample)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		return err
	})
	for _, r := range found {
		yes, err := holds(r.ID, r.Key)
		if err != nil {
			return 0, 0, err
		}
		if yes {
			held++
		}
	}
	return held, len(found), err
}

// checkpointKeys reads the signing key. It refuses a key that can't verify the last checkpoint:
// the key of another record, or a new one that replaced a lost one.
func (b *base) checkpointKeys(ctx context.Context) (*checkpoint.Keys, error) {
	var latest string
	var unsigned error
	err := b.read(ctx, func() (err error) {
		latest, err = merklestore.LatestCheckpoint(ctx, b.pool)
		if errors.Is(err, merklestore.ErrUnsigned) {
			unsigned, err = err, nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	keys, err := checkpoint.ReadKeyFile(b.CheckpointKeyFile)
	if errors.Is(err, fs.ErrNotExist) && unsigned == nil {
		return nil, fmt.Errorf("%s, which signed this record, does not exist: restore it from its copy. "+
			"If that is lost, `postern recover --without checkpoint.key` makes a new key, which keeps the earlier verifiers", b.CheckpointKeyFile)
	}
	if err != nil || unsigned != nil {
		return keys, err
	}
	known, err := keys.Known()
	if err != nil {
		return nil, err
	}
	if _, err := checkpoint.Open(latest, known); err != nil {
		return nil, fmt.Errorf("the key in %s did not sign this record: %w. Restore the right key from its copy. "+
			"If that is lost, `postern recover --without checkpoint.key` signs with this key from now on, and keeps the earlier verifiers", b.CheckpointKeyFile, err)
	}
	return keys, nil
}

// maxClockDifference is the most by which the clocks of NATS and Postgres may differ.
const maxClockDifference = time.Minute

// mustBelong refuses a database that has no event and is younger than the events of the stream:
// it is new, or another one. A restored database is older than the events, and the recorder
// adds the missing ones.
func (b *base) mustBelong(ctx context.Context) error {
	var empty bool
	var made time.Time
	var events bool
	var first time.Time
	err := b.read(ctx, func() error {
		err := b.pool.QueryRow(ctx, `SELECT p.seq = 0 AND NOT EXISTS (SELECT FROM app.losses WHERE part = 'postgres'), d.made_at
			FROM record.position p, app.database d`).Scan(&empty, &made)
		if err != nil || !empty {
			return err
		}
		state, err := b.log.State(ctx)
		events = state.Msgs > 0
		if err != nil || !events {
			return err
		}
		first, err = b.log.PublishedAt(ctx, state.First)
		return err
	})
	if err != nil {
		return fmt.Errorf("asking the database when it was made: %w", err)
	}
	if !empty || !events || first.After(made.Add(-maxClockDifference)) {
		return nil
	}
	return fmt.Errorf("the database is empty, and the stream has held events since %s: DATABASE_URL names another database, or this one was lost. "+
		"Restore it from a backup, and the recorder adds the later events. Without one, `postern recover --without postgres` goes on; "+
		"docs/operating.md says what does not come back", first.Format(time.RFC3339))
}
