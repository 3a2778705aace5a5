package project

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/store"
)

var errOvertaken = errors.New("another recorder has written in between")

// A Beginner is a connection, one under a lease, or a transaction in which another is
// nested.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Write writes a run of events, the first of which follows position, in one transaction. If
// Postgres refuses the data of an event, the events are written one at a time. An event that
// can't be projected is kept and hashed, and is parked for an operator to see, so it doesn't
// block the events after it. Write fails where another recorder has moved the position.
func Write(ctx context.Context, db Beginner, position uint64, run []*Prepared) error {
	return write(ctx, db, position, run, true)
}

// WriteAgain is [Write] for a rebuild, which parks nothing.
func WriteAgain(ctx context.Context, db Beginner, position uint64, run []*Prepared) error {
	return write(ctx, db, position, run, false)
}

func write(ctx context.Context, db Beginner, position uint64, run []*Prepared, parks bool) error {
	err := commit(ctx, db, position, run, parks)
	if !store.RefusedData(err) {
		return err
	}
	if len(run) == 1 {
		run[0].Bad = fmt.Errorf("refused by the database: %w", err)
		return commit(ctx, db, position, run, parks)
	}
	for _, p := range run {
		if err := write(ctx, db, position, []*Prepared{p}, parks); err != nil {
			return err
		}
		position = p.Stored.Seq
	}
	return nil
}

func commit(ctx context.Context, db Beginner, position uint64, run []*Prepared, parks bool) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	parked, err := writeBatch(ctx, tx, position, run)
	if err != nil {
		return err
	}
	for i := 0; parks && i < len(parked); i++ {
		if err := parkRow(ctx, tx, parked[i]); err != nil {
			return err
		}
	}
	// Step 6 of docs/life-of-a-message.md. After a crash before this line the run is not
	// recorded, and is read again; after this line its messages are in the inbox. A crash
	// of Postgres itself may lose the last commits together with their position: the next
	// leader writes them again.
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing events up to %d: %w", run[len(run)-1].Stored.Seq, err)
	}
	return nil
}

// parkRow keeps an event that could not be projected for an operator to see, in the
// transaction that keeps the event.
func parkRow(ctx context.Context, tx pgx.Tx, row parkedRow) error {
	p := row.p
	var id, message *uuid.UUID
	if p.Event.ID != uuid.Nil {
		id = &p.Event.ID
	}
	if p.Event.MessageID != uuid.Nil {
		message = &p.Event.MessageID
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason)
		VALUES ($1, 'recorder', $2, $3, $4, $5, 1, $6) ON CONFLICT (consumer, seq) DO NOTHING`,
		uuid.New(), p.Stored.Seq, id, string(p.Event.Type), message, row.reason)
	if err != nil {
		return fmt.Errorf("parking event %d: %w", p.Stored.Seq, err)
	}
	return nil
}
