package draft

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
)

// row is a row of app.drafts.
type row struct {
	Draft
	staff   string
	page    string
	wrapped []byte
	sealed  sealed
}

const selectDraft = `
	SELECT draft_id, staff_id, version, page, wrapped_key, sealed, sealed_body, saved_at, copy_of FROM app.drafts`

func (r *row) fields() []any {
	return []any{&r.ID, &r.staff, &r.Version, &r.page, &r.wrapped, &r.sealed.header, &r.sealed.body, &r.SavedAt, &r.CopyOf}
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func read(ctx context.Context, q querier, sql string, id uuid.UUID) (r row, err error) {
	err = q.QueryRow(ctx, sql, id).Scan(r.fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, ErrNotFound
	}
	if err != nil {
		return row{}, fmt.Errorf("reading a draft: %w", err)
	}
	return r, nil
}

func (ds *Drafts) unseal(r row) (Draft, content.Key, error) {
	key, err := ds.cfg.Content.Unwrap(r.ID, r.wrapped)
	if err != nil {
		return Draft{}, content.Key{}, err
	}
	if r.Content, err = r.sealed.open(key); err != nil {
		return Draft{}, content.Key{}, err
	}
	return r.Draft, key, nil
}

// List returns at most limit of the staff member's drafts without their bodies, the latest
// saved first, and the cursor of the next page, "" at the end.
func (ds *Drafts) List(ctx context.Context, staff policy.Subject, cursor string, limit int) (page []Draft, next string, err error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return nil, "", err
	}
	after, args := "", []any{staff.ID, limit + 1}
	if cursor != "" {
		at, id, err := parseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		after, args = "AND (saved_at, draft_id) < ($3, $4)", append(args, at, id)
	}
	rows, err := ds.cfg.Pool.Query(ctx, `
		SELECT draft_id, staff_id, version, page, wrapped_key, sealed, NULL::bytea, saved_at, copy_of FROM app.drafts
		WHERE staff_id = $1 `+after+`
		ORDER BY saved_at DESC, draft_id DESC LIMIT $2`, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing drafts: %w", err)
	}
	var r row
	_, err = pgx.ForEachRow(rows, r.fields(), func() error {
		d, _, err := ds.unseal(r)
		page = append(page, d)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing drafts: %w", err)
	}
	if len(page) <= limit {
		return page, "", nil
	}
	page = page[:limit]
	return page, cursorOf(page[limit-1]), nil
}

func cursorOf(d Draft) string { return fmt.Sprintf("%d_%s", d.SavedAt.UnixMicro(), d.ID) }

// parseCursor returns the time and the id of the draft after which a page begins.
func parseCursor(cursor string) (time.Time, uuid.UUID, error) {
	micros, id, _ := strings.Cut(cursor, "_")
	at, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || at < 0 || at > 1e16 {
		return time.Time{}, uuid.Nil, ErrCursor
	}
	parsed, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}, uuid.Nil, ErrCursor
	}
	return time.UnixMicro(at), parsed, nil
}
