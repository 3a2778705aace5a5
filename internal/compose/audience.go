package compose

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/internal/access"
	"postern/internal/directory"
	"postern/internal/events"
)

// AudienceChanged says that the audience is not the one that the sender agreed
// to, and which it is now.
type AudienceChanged struct{ Now directory.Counts }

func (e *AudienceChanged) Error() string {
	return fmt.Sprintf("the recipients have changed since the preview: there are %d now. Look at them again and send with the new digest", e.Now.Count)
}

// Preview counts the audience of a selection exactly, as of now.
func (c *Composer) Preview(ctx context.Context, staff access.Subject, chosen directory.Selection) (directory.Counts, error) {
	if err := mayChoose(staff, chosen); err != nil {
		return directory.Counts{}, err
	}
	chosen = Request{Recipients: chosen}.normal().Recipients
	var f faults
	checkSelection(&f, chosen)
	if err := f.err(); err != nil {
		return directory.Counts{}, err
	}
	var counts directory.Counts
	err := c.inSnapshot(ctx, func(tx pgx.Tx) (err error) {
		counts, err = directory.Preview(ctx, tx, chosen, c.cfg.Now())
		return err
	})
	return counts, namePortalUsers(err, chosen)
}

// mayChoose asks the policy: a group needs more than single portal users do.
func mayChoose(staff access.Subject, chosen directory.Selection) error {
	if err := access.Allow(staff, access.SendMessage); err != nil {
		return err
	}
	if len(chosen.Groups) == 0 {
		return nil
	}
	return access.Allow(staff, access.SendToGroup)
}

// checkAudience makes sure that somebody is in the audience and, where the sender
// agreed to a preview, that it still holds.
func (c *Composer) checkAudience(ctx context.Context, r Request) (confirmed *events.Confirmed, err error) {
	err = c.inSnapshot(ctx, func(tx pgx.Tx) error {
		if r.AudienceDigest == "" {
			return mustExist(directory.Exists(ctx, tx, r.Recipients, c.cfg.Now()))
		}
		counts, err := directory.Preview(ctx, tx, r.Recipients, c.cfg.Now())
		if err != nil {
			return err
		}
		if counts.Digest != r.AudienceDigest {
			return &AudienceChanged{Now: counts}
		}
		confirmed = &events.Confirmed{Count: counts.Count, Digest: counts.Digest}
		return mustExist(counts.Count > 0, nil)
	})
	return confirmed, namePortalUsers(err, r.Recipients)
}

func mustExist(found bool, err error) error {
	if err != nil || found {
		return err
	}
	return &Invalid{[]Fault{{"body.recipients", "nobody would get this message: choose at least one portal user, or a group that has members"}}}
}

// inSnapshot reads the directory as of one moment.
func (c *Composer) inSnapshot(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
}

// namePortalUsers makes of unknown portal users a fault each, at its place.
func namePortalUsers(err error, chosen directory.Selection) error {
	var unknown *directory.UnknownPortalUsers
	if !errors.As(err, &unknown) {
		return err
	}
	var f faults
	for _, id := range unknown.IDs {
		i := slices.Index(chosen.PortalUserIDs, id)
		f.add(fmt.Sprintf("body.recipients.portal_user_ids[%d]", i), "there is no portal user %s", id)
	}
	return f.err()
}

// checkBcc adds a fault for everybody named who is not staff, or could not read it.
func (c *Composer) checkBcc(ctx context.Context, f *faults, named []string) error {
	rows, err := c.pool.Query(ctx, `SELECT staff_id, disabled_at IS NOT NULL FROM record.staff WHERE staff_id = ANY($1)`, slices.DeleteFunc(slices.Clone(named), func(id string) bool { return !isID(id) }))
	if err != nil {
		return fmt.Errorf("looking staff up: %w", err)
	}
	disabled := map[string]bool{}
	var id string
	var out bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &out}, func() error { disabled[id] = out; return nil }); err != nil {
		return fmt.Errorf("looking staff up: %w", err)
	}
	for i, id := range named {
		at := fmt.Sprintf("body.staff_bcc[%d]", i)
		if out, known := disabled[id]; !known {
			f.add(at, "there is no staff member %.80q", id)
		} else if out {
			f.add(at, "the staff member %.80q is disabled and could not read it: leave them out", id)
		}
	}
	return nil
}

// Audience gives a page of the audience of a selection, as of now: see
// [directory.Page].
func (c *Composer) Audience(ctx context.Context, staff access.Subject, chosen directory.Selection, limit int, cursor string) (page []directory.Member, next string, err error) {
	if err := mayChoose(staff, chosen); err != nil {
		return nil, "", err
	}
	chosen = Request{Recipients: chosen}.normal().Recipients
	err = c.inSnapshot(ctx, func(tx pgx.Tx) (err error) {
		page, next, err = directory.Page(ctx, tx, chosen, c.cfg.Now(), limit, cursor)
		return err
	})
	return page, next, namePortalUsers(err, chosen)
}
