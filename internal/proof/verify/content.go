package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// contents looks for the content of messages that were sent and not erased: its keys, in
// Postgres or in the content store, and its body. Missing content is not a fault of the
// record; it is reported separately.
func (v *Verifier) contents(ctx context.Context) error {
	if v.Content == nil {
		return nil
	}
	rows, err := v.Pool.Query(ctx, `SELECT m.message_id, EXISTS (SELECT FROM app.message_content c WHERE c.message_id = m.message_id)
		FROM record.messages m
		WHERE NOT EXISTS (SELECT FROM record.erasures e WHERE e.message_id = m.message_id AND e.status = 'erased')`)
	if err != nil {
		return fmt.Errorf("reading which content should exist: %w", err)
	}
	var id uuid.UUID
	var row bool
	withoutKeys, withoutBody := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&id, &row}, func() error {
		v.report.Contents++
		withoutBody[id] = true
		if !row {
			withoutKeys[id] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading which content should exist: %w", err)
	}
	// Read the content store after the record: content is stored before its event.
	for id, err := range v.Content.Bodies(ctx) {
		if err != nil {
			return err
		}
		delete(withoutBody, id)
	}
	for id, err := range v.Content.Copies(ctx) {
		if err != nil {
			return err
		}
		delete(withoutKeys, id)
	}
	v.missing(withoutKeys, "its keys are neither in Postgres nor in the content store")
	for id := range withoutKeys {
		delete(withoutBody, id)
	}
	v.missing(withoutBody, "its body is not in the content store")
	v.report.Missing = len(withoutKeys) + len(withoutBody)
	return nil
}

func (v *Verifier) missing(messages map[uuid.UUID]bool, what string) {
	var where []string
	for id := range messages {
		where = append(where, id.String())
	}
	slices.Sort(where)
	for _, id := range where[:min(len(where), maxFaults)] {
		v.report.MissingContent = append(v.report.MissingContent, Fault{Where: "message " + id, What: what})
	}
}
