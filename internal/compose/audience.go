package compose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/problem"
)

// AudienceChanged is the error if the audience differs from the one that the sender
// confirmed. Now is the present audience.
type AudienceChanged struct{ Now audience.Counts }

func (e *AudienceChanged) Error() string {
	return fmt.Sprintf("the recipients have changed since the preview: there are %d now. Look at them again and send with the new digest", e.Now.Count)
}

// Problem returns the answer to a request with an outdated digest.
func (e *AudienceChanged) Problem() *problem.Error {
	return problem.AudienceChanged.Problem(e.Error(), problem.Fault{Location: "body.audience_digest", Message: "is of another audience"})
}

// Preview returns the exact number of recipients of a selection, as of now.
func (c *Composer) Preview(ctx context.Context, staff policy.Subject, chosen audience.Selection) (audience.Counts, error) {
	if err := mayChoose(staff, chosen); err != nil {
		return audience.Counts{}, err
	}
	chosen = Request{Recipients: chosen}.normal().Recipients
	var f faults
	checkSelection(&f, chosen)
	if err := f.err(); err != nil {
		return audience.Counts{}, err
	}
	if _, err := c.checkMatters(ctx, Request{Recipients: chosen}); err != nil {
		return audience.Counts{}, err
	}
	counts, err := c.count(ctx, chosen)
	return counts, namePortalUsers(err, chosen)
}

// inTurn calls do, one at a time if groups are chosen: right after a large import, evaluating a
// group takes two connections, and concurrent evaluations with one connection each would wait
// for each other.
func (c *Composer) inTurn(ctx context.Context, chosen audience.Selection, do func() error) error {
	if len(chosen.Groups) > 0 {
		if err := c.counting.lock(ctx); err != nil {
			return err
		}
		defer c.counting.unlock()
	}
	return do()
}

// count counts the audience of a selection.
func (c *Composer) count(ctx context.Context, chosen audience.Selection) (counts audience.Counts, err error) {
	err = c.inTurn(ctx, chosen, func() error {
		counts, err = audience.Preview(ctx, c.pool, chosen, c.cfg.Facts.Now())
		return err
	})
	return counts, err
}

// exists reports whether an audience has a recipient. It takes its turn with count. Portal users
// who are chosen by id are recipients: checkMatters has found that they exist.
func (c *Composer) exists(ctx context.Context, chosen audience.Selection) (found bool, err error) {
	if len(chosen.PortalUserIDs) > 0 || len(chosen.Groups) == 0 {
		return len(chosen.PortalUserIDs) > 0, nil
	}
	err = c.inTurn(ctx, chosen, func() error {
		found, err = audience.Exists(ctx, c.pool, chosen, c.cfg.Facts.Now())
		return err
	})
	return found, err
}

// mutex is a mutex whose lock ends with a context.
type mutex chan struct{}

func (m mutex) lock(ctx context.Context) error {
	select {
	case m <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m mutex) unlock() { <-m }

// sizes holds the number of members of each group at one time.
type sizes struct {
	of map[audience.Group]int
	at time.Time
}

// maxSizesAge is how long the sizes of groups are reused.
const maxSizesAge = time.Minute

// GroupSizes returns the number of members of each group, at most a minute old, for the
// page on which a message is written. Before sending, [Composer.Preview] counts exactly.
func (c *Composer) GroupSizes(ctx context.Context, staff policy.Subject) (map[audience.Group]int, error) {
	if err := policy.Allow(staff, policy.SendToGroup); err != nil {
		return nil, err
	}
	if err := c.counting.lock(ctx); err != nil {
		return nil, err
	}
	defer c.counting.unlock()
	if age := c.cfg.Facts.Now().Sub(c.sizes.at); c.sizes.of != nil && age >= 0 && age < maxSizesAge {
		return c.sizes.of, nil
	}
	of, err := audience.Sizes(ctx, c.pool, c.cfg.Facts.Now())
	if err == nil {
		c.sizes = sizes{of, c.cfg.Facts.Now()}
	}
	return of, err
}

// mayChoose checks the permissions: sending to a group needs an additional one.
func mayChoose(staff policy.Subject, chosen audience.Selection) error {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return err
	}
	if len(chosen.Groups) == 0 {
		return nil
	}
	return policy.Allow(staff, policy.SendToGroup)
}

// checkAudience refuses an empty audience, picks of patients to whom the recipient is not linked
// and, if the sender confirmed a preview, an audience that has changed since. about has the patients
// whom the message concerns, by the chosen portal user.
func (c *Composer) checkAudience(ctx context.Context, r Request) (confirmed *events.Confirmed, about map[string][]string, err error) {
	if about, err = c.checkMatters(ctx, r); err != nil {
		return nil, nil, err
	}
	if r.AudienceDigest == "" {
		return nil, about, mustExist(c.exists(ctx, r.Recipients))
	}
	counts, err := c.count(ctx, r.Recipients)
	switch {
	case err != nil:
		return nil, nil, namePortalUsers(err, r.Recipients)
	case counts.Digest != r.AudienceDigest:
		return nil, nil, &AudienceChanged{Now: counts}
	}
	return &events.Confirmed{Count: counts.Count, Digest: counts.Digest}, about, mustExist(counts.Count > 0, nil)
}

func mustExist(found bool, err error) error {
	if err != nil || found {
		return err
	}
	return &Invalid{[]problem.Fault{{Location: "body.recipients", Message: "no one would get this message: choose at least one portal user, or a group that has members"}}}
}

// namePortalUsers turns [audience.UnknownPortalUsers] into one fault for each portal user.
func namePortalUsers(err error, chosen audience.Selection) error {
	var unknown *audience.UnknownPortalUsers
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

// checkBcc adds a fault for each id that is not a staff member, or a disabled one.
func (c *Composer) checkBcc(ctx context.Context, f *faults, named []string) error {
	if len(named) == 0 {
		return nil
	}
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

// Audience returns a page of the audience of a selection, as of now: see
// [audience.Page].
func (c *Composer) Audience(ctx context.Context, staff policy.Subject, chosen audience.Selection, limit int, cursor string) (page []audience.Member, next string, err error) {
	return c.audience(ctx, staff, chosen, limit, cursor, audience.Page)
}

// AudienceWithoutEmail is [Composer.Audience] for recipients without an e-mail address:
// see [audience.PageWithoutEmail].
func (c *Composer) AudienceWithoutEmail(ctx context.Context, staff policy.Subject, chosen audience.Selection, limit int, cursor string) (page []audience.Member, next string, err error) {
	return c.audience(ctx, staff, chosen, limit, cursor, audience.PageWithoutEmail)
}

func (c *Composer) audience(ctx context.Context, staff policy.Subject, chosen audience.Selection, limit int, cursor string,
	read func(context.Context, directory.Beginner, audience.Selection, time.Time, int, string) ([]audience.Member, string, error)) (page []audience.Member, next string, err error) {
	if err := mayChoose(staff, chosen); err != nil {
		return nil, "", err
	}
	chosen = Request{Recipients: chosen}.normal().Recipients
	err = c.inTurn(ctx, chosen, func() error {
		page, next, err = read(ctx, c.pool, chosen, c.cfg.Facts.Now(), limit, cursor)
		return err
	})
	return page, next, namePortalUsers(err, chosen)
}
