// Package cited reads the rosters and the states of the directory that events cite, from Postgres.
package cited

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/roster"
)

// Querier runs queries: a pool, a connection or a transaction of pgx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// ErrDamaged is wrapped by the error if a roster, or an object of it, is missing or was changed.
var ErrDamaged = errors.New("a stored roster is missing or was changed")

// ErrNoState is wrapped by the error if a state of the directory is missing or was changed.
var ErrNoState = errors.New("a stored state of the directory is missing or was changed")

// State reads a state of the directory. Errors wrap [ErrNoState] if it is missing or was changed.
func State(ctx context.Context, q Querier, digest roster.Digest) (roster.State, error) {
	rows, err := q.Query(ctx, `SELECT state FROM app.directory_states WHERE digest = $1`, digest[:])
	if err != nil {
		return nil, fmt.Errorf("reading a state of the directory: %w", err)
	}
	stored, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("reading a state of the directory: %w", err)
	}
	if sha256.Sum256(stored) != digest {
		return nil, fmt.Errorf("%w: %s", ErrNoState, digest)
	}
	return roster.ParseState(stored)
}

// atOnce is the number of rosters that are in memory at a time: about two megabytes.
const atOnce = 256

// Each calls visit for the rosters with these roots, with their names, in the order given. It
// stops at the first error that visit returns. Errors wrap [ErrDamaged] if a roster is missing
// or was changed.
func Each(ctx context.Context, q Querier, roots []roster.Digest, visit func(*roster.Roster) error) error {
	for some := range slices.Chunk(roots, atOnce) {
		found, err := Whole(ctx, q, some)
		if err != nil {
			return err
		}
		for _, root := range some {
			r, ok := found[root]
			if !ok {
				return fmt.Errorf("reading rosters: %w: %s", ErrDamaged, root)
			}
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Whole returns those of the rosters with these roots, with their names, that are neither missing
// nor were changed: their blocks and objects have the digest of their content.
func Whole(ctx context.Context, q Querier, roots []roster.Digest) (map[roster.Digest]*roster.Roster, error) {
	raw := make([][]byte, len(roots))
	for i := range roots {
		raw[i] = roots[i][:]
	}
	rows, err := q.Query(ctx, `
		SELECT r.root, r.block, r.content, f.facts, n.names
		FROM app.rosters r JOIN app.roster_facts f ON f.digest = r.facts JOIN app.roster_names n ON n.digest = r.names
		WHERE r.root = ANY($1)`, raw)
	if err != nil {
		return nil, fmt.Errorf("reading rosters: %w", err)
	}
	defer rows.Close()
	found := make(map[roster.Digest]*roster.Roster, len(roots))
	for rows.Next() {
		var root, content []byte
		r := &roster.Roster{}
		if err := rows.Scan(&root, &r.Block, &content, &r.Facts, &r.Names); err != nil {
			return nil, fmt.Errorf("reading rosters: %w", err)
		}
		if roster.Content(r.Block, r.FactsDigest(), r.NamesDigest()) == roster.Digest(content) {
			found[roster.Digest(root)] = r
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading rosters: %w", err)
	}
	return found, nil
}

// Want is a portal user in a roster.
type Want struct {
	Root roster.Digest
	No   int32
}

// People returns what rosters say of portal users, in the order of the wants. It returns the
// same errors as [Each], and an error that wraps [roster.ErrNoEntry] if a roster says nothing of
// a portal user.
func People(ctx context.Context, q Querier, wants []Want) ([]roster.Person, error) {
	var roots []roster.Digest
	of := map[roster.Digest][]int{}
	for i, w := range wants {
		if of[w.Root] == nil {
			roots = append(roots, w.Root)
		}
		of[w.Root] = append(of[w.Root], i)
	}
	people := make([]roster.Person, len(wants))
	next := 0
	err := Each(ctx, q, roots, func(r *roster.Roster) error {
		mine := of[roots[next]]
		next++
		left := len(mine)
		if err := r.Visit(func(p *roster.Person) bool {
			for _, i := range mine {
				if wants[i].No == p.No {
					people[i] = *p
					people[i].Links = slices.Clone(p.Links)
					left--
				}
			}
			return left > 0
		}); err != nil {
			return err
		}
		for _, i := range mine {
			if people[i].No == 0 {
				return fmt.Errorf("portal user number %d: %w", wants[i].No, roster.ErrNoEntry)
			}
		}
		return nil
	})
	return people, err
}
