// Package audiences evaluates the audience of each message to groups again, from the rosters that
// its deliveries cite. In each cited block, the members must be those whom the rule gives on the
// roster and the day, and those whom the message names.
package audiences

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/content"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/events"
)

// Sent says to whom a message to groups was sent.
type Sent struct {
	groups    []string
	selection string          // the digest of the recipients
	chosen    map[string]bool // the portal users who were chosen by id beside the groups
}

// To returns to whom a message was sent.
func To(m events.MessageSent) *Sent {
	sent := &Sent{groups: m.Recipients.Groups, selection: m.SelectionDigest(), chosen: map[string]bool{}}
	if len(m.Recipients.Groups) > 0 {
		for _, id := range m.Recipients.PortalUserIDs {
			sent.chosen[id] = true
		}
	}
	return sent
}

// A Check checks audiences. It is not safe for concurrent use.
type Check struct {
	Pool *pgxpool.Pool
	// Content decrypts the secrets of rosters, from which their roots are recomputed. If nil,
	// they are not.
	Content *content.Store
	// Fault is called for each fault, with the sequence of its event.
	Fault func(seq uint64, what string)
	// Missing is called once for each roster that is missing or was changed, with the first
	// event that cites it. That is not a fault of the record, which says who got the message,
	// by number.
	Missing func(seq uint64, what string)

	waiting []citation // not evaluated yet
	// known caches what the rule gives on a roster. Blasts of one day share rosters.
	known map[evaluation]given
	// seen has every roster that was read. It is false for one that is missing or damaged.
	seen map[roster.Digest]bool
}

// Rosters returns the number of rosters on which audiences were evaluated.
func (v *Check) Rosters() (n int) {
	for _, whole := range v.seen {
		if whole {
			n++
		}
	}
	return n
}

// citation is a block of a delivery.
type citation struct {
	evaluation
	seq    uint64
	id     uuid.UUID // of the message
	of     *Sent
	block  block.No
	actual block.Members
}

// evaluation is what the rule is applied to.
type evaluation struct {
	root   roster.Digest
	day    int32
	groups rule.Set
}

// given is what the rule gives.
type given struct {
	block   block.No
	members block.Members
}

const (
	// citedAtOnce is the number of rosters that are in memory: about ten megabytes.
	citedAtOnce = 1024
	// mostKnown limits the cache to about 30 megabytes.
	mostKnown = 200_000
)

// Cite checks the audience of a delivery that cites rosters, now or with later ones. m is its
// message's.
func (v *Check) Cite(ctx context.Context, seq uint64, e events.Event, m *Sent) error {
	body, err := events.Decode[events.DeliveriesByBlock](e)
	if err != nil {
		return nil //nolint:nilerr // it was not projected either
	}
	groups, err := rule.SetOf(body.Groups)
	switch {
	case err != nil:
		v.Fault(seq, err.Error())
		return nil
	case len(m.groups) == 0 || !slices.Equal(body.Groups, m.groups) || body.Selection != m.selection:
		v.Fault(seq, fmt.Sprintf("the deliveries are for other groups or recipients than message %s was sent to", body.MessageID))
		return nil
	}
	for _, b := range body.Blocks {
		c := citation{evaluation{b.Roster, field.Day(body.Day), groups}, seq, body.MessageID, m, b.No, b.Members}
		if known, ok := v.known[c.evaluation]; ok && len(m.chosen) == 0 && known == (given{b.No, b.Members}) {
			continue
		}
		v.waiting = append(v.waiting, c)
	}
	if len(v.waiting) < citedAtOnce {
		return nil
	}
	return v.Evaluate(ctx)
}

// Evaluate checks what is waiting. Call it after the last event.
func (v *Check) Evaluate(ctx context.Context) error {
	if v.known == nil {
		v.known, v.seen = map[evaluation]given{}, map[roster.Digest]bool{}
	}
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
	found := make([]map[*citation][]string, len(rosters))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range rosters {
		group.Go(func() error {
			found[i] = map[*citation][]string{}
			those := byRoot[r.root]
			if !v.seen[r.root] {
				what, err := v.checkRoot(r, secrets)
				if err != nil || what != "" {
					found[i][those[0]] = []string{what}
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
	faults := map[*citation][]string{}
	for i, r := range rosters {
		maps.Copy(faults, found[i])
		v.seen[r.root] = true
	}
	v.conclusion(faults)
	return nil
}

// conclusion reports the faults of the citations in order, and keeps what was evaluated without
// one.
func (v *Check) conclusion(faults map[*citation][]string) {
	if len(v.known) > mostKnown {
		clear(v.known)
	}
	for i := range v.waiting {
		c := &v.waiting[i]
		for _, what := range faults[c] {
			v.Fault(c.seq, what)
		}
		if what, evaluated := faults[c]; evaluated && len(what) == 0 && len(c.of.chosen) == 0 {
			v.known[c.evaluation] = given{c.block, c.actual}
		}
	}
	v.waiting = v.waiting[:0]
}

type citedRoster struct {
	root roster.Digest
	*roster.Roster
}

// readRosters reads rosters. Those that are missing are reported.
func (v *Check) readRosters(ctx context.Context, wanted map[roster.Digest][]*citation) (found []citedRoster, err error) {
	var roots []roster.Digest
	for i := range v.waiting {
		c := &v.waiting[i]
		if whole, known := v.seen[c.root]; wanted[c.root][0] == c && (whole || !known) {
			roots = append(roots, c.root)
		}
	}
	next := 0
	err = cited.Each(ctx, v.Pool, roots, func(r *roster.Roster) error {
		found = append(found, citedRoster{roots[next], r})
		next++
		return nil
	})
	if !errors.Is(err, cited.ErrDamaged) {
		return found, err
	}
	// One by one, to find those that are missing.
	found = found[:0]
	for _, root := range roots {
		err := cited.Each(ctx, v.Pool, []roster.Digest{root}, func(r *roster.Roster) error {
			found = append(found, citedRoster{root, r})
			return nil
		})
		if errors.Is(err, cited.ErrDamaged) {
			v.misses(wanted[root][0])
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// misses reports a roster.
func (v *Check) misses(c *citation) {
	v.seen[c.root] = false
	v.Missing(c.seq, fmt.Sprintf("roster %s of block %d, on which the audience of message %s was evaluated, is missing or was changed", c.root, c.block, c.id))
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
func (c *citation) compare(r *roster.Roster) (faults []string) {
	if r.Block != c.block {
		return []string{fmt.Sprintf("it cites for block %d the roster %s, which is of block %d", c.block, c.root, r.Block)}
	}
	rest := c.actual
	day := field.Time(c.day).Format(time.DateOnly)
	err := r.Visit(func(p *roster.Person) bool {
		_, place := block.Of(p.No)
		in, _ := c.groups.Why(p, c.day)
		chosen := c.of.chosen[p.ID]
		switch is := rest.Has(place); {
		case is && in == "" && !chosen:
			faults = append(faults, fmt.Sprintf("message %s is delivered to portal user %s (number %d) without a reason: on %s that person was in none of the groups %v, and was not chosen by id",
				c.id, p.ID, p.No, day, c.of.groups))
		case !is && in != "":
			faults = append(faults, fmt.Sprintf("message %s is not delivered to portal user %s (number %d), who on %s was in one of the groups %v (%s)",
				c.id, p.ID, p.No, day, c.of.groups, in))
		case !is && chosen:
			faults = append(faults, fmt.Sprintf("message %s is not delivered to portal user %s (number %d), who was chosen by id", c.id, p.ID, p.No))
		}
		rest.Remove(place)
		return true
	})
	if err != nil {
		return []string{fmt.Sprintf("roster %s: %v", c.root, err)}
	}
	for place := range rest.All() {
		faults = append(faults, fmt.Sprintf("message %s is delivered to portal user number %d, of whom the roster says nothing", c.id, c.block.At(place)))
	}
	return faults
}
