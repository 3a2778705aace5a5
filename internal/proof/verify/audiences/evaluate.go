package audiences

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
)

// holds reports whether it is known without reading a roster that the members of a citation are
// those whom the rule gives.
func (v *Check) holds(c *citation) bool {
	known, ok := v.known[c.evaluation]
	if !ok {
		facts, ok := v.facts[c.root]
		if !ok {
			return false
		}
		known = c.give(&roster.Roster{Block: c.block, Facts: facts})
		v.remember(c.evaluation, known)
	}
	return known == given{c.block, c.actual}
}

func (v *Check) remember(e evaluation, g given) {
	if len(v.known) > mostKnown {
		clear(v.known)
	}
	v.known[e] = g
}

// give returns what the rule gives on a roster.
func (e *evaluation) give(r *roster.Roster) given {
	g := given{block: r.Block}
	err := r.Visit(func(p *roster.Person) bool {
		if in, _ := e.groups.Why(p, e.day); in != "" {
			_, place := block.Of(p.No)
			g.members.Add(place)
		}
		return true
	})
	if err != nil { // the facts are of another block: compare says so
		return given{block: -1}
	}
	return g
}

// result is what the evaluation of a citation has found.
type result struct {
	compared bool
	faults   []string
	chosen   []string // who was chosen by id and is in the roster
}

// Evaluate checks what is waiting. Call it after the last event.
func (v *Check) Evaluate(ctx context.Context) error {
	byRoot := map[roster.Digest][]*citation{}
	for i := range v.waiting {
		c := &v.waiting[i]
		byRoot[c.root] = append(byRoot[c.root], c)
	}
	rosters, err := v.readRosters(ctx, byRoot)
	if err != nil {
		return err
	}
	secrets, err := v.secrets(ctx, rosters)
	if err != nil {
		return err
	}
	found := make([]map[*citation]result, len(rosters))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range rosters {
		group.Go(func() error {
			found[i] = map[*citation]result{}
			those := byRoot[r.root]
			if !v.seen[r.root] {
				what, err := v.checkRoot(r, secrets)
				if err != nil || what != "" {
					found[i][those[0]] = result{faults: []string{what}}
					return err
				}
			}
			for _, c := range those {
				found[i][c] = c.compare(r.Roster)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	results := map[*citation]result{}
	for i, r := range rosters {
		maps.Copy(results, found[i])
		v.seen[r.root] = true
		if found[i][byRoot[r.root][0]].compared {
			v.keepFacts(r)
		}
	}
	v.conclude(results)
	return nil
}

func (v *Check) keepFacts(r citedRoster) {
	if _, kept := v.facts[r.root]; kept {
		return
	}
	if v.factsBytes += len(r.Facts); v.factsBytes > mostFacts {
		clear(v.facts)
		v.factsBytes = len(r.Facts)
	}
	v.facts[r.root] = r.Facts
}

// conclude reports the faults of the citations in order, keeps what was evaluated without one, and
// reports those who were chosen by id and are in none of the rosters of the deliveries.
func (v *Check) conclude(results map[*citation]result) {
	for i := range v.waiting {
		c := &v.waiting[i]
		found := results[c]
		for _, what := range found.faults {
			v.Fault(c.seq, what)
		}
		for _, id := range found.chosen {
			delete(c.of.unplaced, id)
		}
		c.of.unevaluated = c.of.unevaluated || c.delivered && !found.compared
		if found.compared && len(found.faults) == 0 && (len(c.of.chosen) == 0 || !c.delivered) {
			v.remember(c.evaluation, given{c.block, c.actual})
		}
	}
	v.waiting = v.waiting[:0]
	for _, m := range v.complete {
		if m.unevaluated {
			continue // they may be in the roster that is missing
		}
		for _, id := range slices.Sorted(maps.Keys(m.unplaced)) {
			v.Fault(m.resolved, fmt.Sprintf("message %s is not delivered to portal user %s, who was chosen by id", m.id, id))
		}
	}
	v.complete = v.complete[:0]
}

type citedRoster struct {
	root roster.Digest
	*roster.Roster
}

// readRosters reads rosters, and reports those that are missing.
func (v *Check) readRosters(ctx context.Context, wanted map[roster.Digest][]*citation) (found []citedRoster, err error) {
	var first []*citation // of each root, in order
	for i := range v.waiting {
		c := &v.waiting[i]
		if whole, known := v.seen[c.root]; wanted[c.root][0] == c && (whole || !known) {
			first = append(first, c)
		}
	}
	for some := range slices.Chunk(first, readAtOnce) {
		roots := make([]roster.Digest, len(some))
		for i, c := range some {
			roots[i] = c.root
		}
		whole, err := cited.Whole(ctx, v.Pool, roots)
		if err != nil {
			return nil, err
		}
		for _, c := range some {
			if r, ok := whole[c.root]; ok {
				found = append(found, citedRoster{c.root, r})
				continue
			}
			v.seen[c.root] = false
			v.Missing(c.seq, fmt.Sprintf("roster %s of block %d, on which the audience of message %s was evaluated, is missing or was changed", c.root, c.block, c.of.id))
		}
	}
	return found, nil
}

func (v *Check) store() *rosterstore.Store {
	return rosterstore.New(rosterstore.Config{Pool: v.Pool, Content: v.Content})
}

// secrets reads the secrets of the rosters whose roots were not checked yet.
func (v *Check) secrets(ctx context.Context, rosters []citedRoster) (map[roster.Digest][]byte, error) {
	var roots []roster.Digest
	for _, r := range rosters {
		if !v.seen[r.root] {
			roots = append(roots, r.root)
		}
	}
	if v.Content == nil || len(roots) == 0 {
		return nil, nil
	}
	return v.store().SealedSecrets(ctx, roots)
}

// checkRoot compares the root of a roster with the one under which it is stored. That needs the
// key of the secrets.
func (v *Check) checkRoot(r citedRoster, secrets map[roster.Digest][]byte) (what string, err error) {
	if v.Content == nil {
		return "", nil
	}
	secret, err := v.store().OpenSecret(r.root, secrets)
	if errors.Is(err, content.ErrChanged) {
		return fmt.Sprintf("the secret of roster %s of block %d can't be decrypted", r.root, r.Block), nil
	}
	if err != nil {
		return "", err
	}
	root, err := r.Root(secret)
	if err != nil || root != r.root {
		return fmt.Sprintf("the roster that is stored as %s, of block %d, is another one: its root is %s", r.root, r.Block, root), nil //nolint:nilerr // a fault of the roster
	}
	return "", nil
}

// compare evaluates the rule on a roster, and names the portal users who are in the audience
// without a reason, or left out against one.
func (c *citation) compare(r *roster.Roster) (found result) {
	if r.Block != c.block {
		return result{faults: []string{fmt.Sprintf("it cites for block %d the roster %s, which is of block %d", c.block, c.root, r.Block)}}
	}
	report := func(format string, args ...any) { found.faults = append(found.faults, fmt.Sprintf(format, args...)) }
	found.compared = true
	rest := c.actual
	day := field.Time(c.day).Format(time.DateOnly)
	err := r.Visit(func(p *roster.Person) bool {
		_, place := block.Of(p.No)
		in, _ := c.groups.Why(p, c.day)
		chosen := c.delivered && c.of.chosen[p.ID] // beside the deliveries, conclude finds them
		if chosen {
			found.chosen = append(found.chosen, p.ID)
		}
		switch is := rest.Has(place); {
		case is && in == "" && !chosen:
			report("message %s is delivered to portal user %s (number %d) without a reason: on %s that person was in none of the groups %v, and was not chosen by id",
				c.of.id, p.ID, p.No, day, c.of.groups)
		case !is && in != "":
			report("message %s is not delivered to portal user %s (number %d), who on %s was in one of the groups %v (%s)",
				c.of.id, p.ID, p.No, day, c.of.groups, in)
		case !is && chosen:
			report("message %s is not delivered to portal user %s (number %d), who was chosen by id", c.of.id, p.ID, p.No)
		}
		rest.Remove(place)
		return true
	})
	if err != nil {
		return result{faults: []string{fmt.Sprintf("roster %s: %v", c.root, err)}}
	}
	for place := range rest.All() {
		report("message %s is delivered to portal user number %d, of whom the roster says nothing", c.of.id, c.block.At(place))
	}
	return found
}
