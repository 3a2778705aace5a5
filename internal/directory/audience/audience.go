// Package audience computes who gets a message, with the reason for each recipient: from
// groups and from portal users chosen by id. It counts an audience, lists it in pages and
// freezes it. Groups are evaluated on the rosters of the directory (package rosterstore), as of
// one moment: no table of people is read, except for blocks that have just changed.
//
// # Groups
//
// A link counts from its first day to its last, both included. Without a date it is
// open on that side. On such a day
//
//   - active_patients are the active portal users linked to an active patient,
//   - discharged_patients those linked to a discharged one,
//   - all_portal_users are all active portal users, linked or not.
//
// Deceased patients get no messages, and their families none for active patients. A
// self link to a deceased patient puts its portal user in no group (not in
// all_portal_users either, if only such links are in force). For the patient's
// representatives, a deceased patient counts as discharged. A portal user chosen by
// id is always included, even with an inactive account: the delivery waits in the
// inbox, and no alert is sent.
//
// Package rule implements these rules. [Freeze], [Preview], [Exists] and the pages all
// use it, so they can't disagree. An audience is in ascending order of portal user number.
//
// # Concurrency
//
// All functions may be called concurrently. Each takes a snapshot of its own.
package audience

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/people"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
)

// UnknownPortalUsers is the error for a selection with portal user ids that are not
// in the directory.
type UnknownPortalUsers struct{ IDs []string }

func (e *UnknownPortalUsers) Error() string {
	const most = 10
	named := e.IDs[:min(len(e.IDs), most)]
	more := ""
	if len(e.IDs) > most {
		more = fmt.Sprintf(" and %d more", len(e.IDs)-most)
	}
	return fmt.Sprintf("no portal user has the id %s%s: import them first, or remove them from the recipients", strings.Join(named, ", "), more)
}

// selected is a [Selection] on a day, with ids resolved to numbers.
type selected struct {
	q      directory.Querier // reads the portal users of a selection without groups
	day    int32
	chosen rule.Set
	added  []int32 // ascending; numbers already passed are removed
}

func resolveSelection(ctx context.Context, q directory.Querier, sel Selection, on time.Time) (*selected, error) {
	chosen, err := rule.SetOf(sel.Groups)
	if err != nil {
		return nil, err
	}
	added, unknown, err := directory.LookUp(ctx, q, sel.PortalUserIDs)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, &UnknownPortalUsers{IDs: unknown}
	}
	return &selected{q, field.Day(on), chosen, added}, nil
}

// after removes the added portal users up to and including a number.
func (s *selected) after(no int32) {
	for len(s.added) > 0 && s.added[0] <= no {
		s.added = s.added[1:]
	}
}

// classify returns why a person is included or excluded. People must be passed in order of
// number.
func (s *selected) classify(p *roster.Person) (in, out Reason) {
	if len(s.added) > 0 && s.added[0] == p.No {
		s.added = s.added[1:]
		return Added, ""
	}
	return s.chosen.Why(p, s.day)
}

// visit calls visit for every person after a number whom the selection may concern, in order,
// with the reason why included or excluded, until visit returns false. b is the person's block,
// nil in a selection without groups, which needs no snapshot.
func (s *selected) visit(ctx context.Context, snapshot *rosterstore.Snapshot, after int32, visit func(b *rosterstore.Block, p *roster.Person, in, out Reason) bool) error {
	s.after(after)
	if s.chosen == 0 {
		return people.Numbered(ctx, s.q, s.added, func(p *roster.Person) bool { return visit(nil, p, Added, "") })
	}
	from, _ := block.Of(after + 1)
	var failed error
	err := snapshot.Blocks(ctx, from, func(b *rosterstore.Block) (more bool) {
		more = true
		failed = b.Visit(func(p *roster.Person) bool {
			if p.No > after {
				in, out := s.classify(p)
				more = visit(b, p, in, out)
			}
			return more
		})
		return more && failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// evaluate opens a snapshot, and evaluates a selection on it.
func evaluate(ctx context.Context, db directory.Beginner, sel Selection, on time.Time, do func(*rosterstore.Snapshot, *selected) error) error {
	snapshot, err := rosterstore.Open(ctx, db)
	if err != nil {
		return err
	}
	defer snapshot.Close(ctx)
	s, err := resolveSelection(ctx, snapshot.Tx, sel, on)
	if err != nil {
		return err
	}
	return do(snapshot, s)
}

// Counts is the preview of an audience.
type Counts struct {
	// Count is how many recipients there are.
	Count int
	// Digest is "sha256:" and, in hexadecimal, the SHA-256 over the recipients: for each block
	// of portal users that has some, in ascending order, its number (4 bytes, big endian), the
	// length of the stored form of its members (one byte) and that form (see package block). If it
	// is known whom the message to some of the chosen portal users concerns, four bytes 0xff follow
	// and, for each of them, the number (4 bytes), each patient's id after its length (one byte), in
	// order, and a zero. It changes exactly when a portal user joins or leaves the audience, or when
	// the message to a chosen one concerns other patients.
	Digest string
	// Included counts the recipients by reason. Excluded counts the portal users who
	// belong to a chosen group but are kept out of it, by reason. Warnings counts the
	// recipients who will not be alerted, by reason. Reasons with a count of 0 are
	// left out.
	Included, Excluded, Warnings map[string]int
}

// Preview counts the audience of a selection on the calendar day of on, exactly. Errors may
// wrap [UnknownPortalUsers].
func Preview(ctx context.Context, db directory.Beginner, sel Selection, on time.Time) (counts Counts, err error) {
	var included, excluded, warnings tally
	var members digester
	err = evaluate(ctx, db, sel, on, func(snapshot *rosterstore.Snapshot, s *selected) error {
		optedOut, err := optOuts(ctx, snapshot)
		if err != nil {
			return err
		}
		about, err := s.abouts(ctx, snapshot.Tx, sel)
		if err != nil {
			return err
		}
		return s.visit(ctx, snapshot, 0, func(_ *rosterstore.Block, p *roster.Person, in, out Reason) bool {
			switch {
			case in != "":
				members.add(p.No)
				members.concerns(p.No, about[p.No])
				included.add(in)
				if !p.Active {
					warnings.add(AccountInactive)
				}
				if !p.Addressed {
					warnings.add(NoAddress)
				}
				if p.Active && p.Addressed && optedOut(p.No) {
					warnings.add(OptedOut)
				}
			case out != "":
				excluded.add(out)
			}
			return true
		})
	})
	if err != nil {
		return Counts{}, fmt.Errorf("counting the audience: %w", err)
	}
	digest, count := members.sum()
	return Counts{Count: count, Digest: digest, Included: included.counts(), Excluded: excluded.counts(), Warnings: warnings.counts()}, nil
}

// optOuts returns whether a portal user opted out of alerts. It must be asked in ascending order.
func optOuts(ctx context.Context, snapshot *rosterstore.Snapshot) (optedOut func(no int32) bool, err error) {
	rows, err := snapshot.Tx.Query(ctx, `SELECT portal_user_no FROM record.alert_opt_outs ORDER BY portal_user_no`)
	if err != nil {
		return nil, fmt.Errorf("reading who opted out of alerts: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("reading who opted out of alerts: %w", err)
	}
	return func(no int32) bool {
		for len(all) > 0 && all[0] < no {
			all = all[1:]
		}
		return len(all) > 0 && all[0] == no
	}, nil
}

// tally counts reasons. There are few, so that it is faster than a map.
type tally []struct {
	reason Reason
	n      int
}

func (t *tally) add(r Reason) {
	for i := range *t {
		if (*t)[i].reason == r {
			(*t)[i].n++
			return
		}
	}
	*t = append(*t, struct {
		reason Reason
		n      int
	}{r, 1})
}

func (t tally) counts() map[string]int {
	counts := make(map[string]int, len(t))
	for _, one := range t {
		counts[string(one.reason)] = one.n
	}
	return counts
}

// digester computes the digest of an audience, whose numbers come in ascending order.
type digester struct {
	hashed  []byte
	no      block.No
	members block.Members
	n       int
	about   []byte // whom the message concerns, see Counts
}

func (d *digester) add(no int32) {
	b, place := block.Of(no)
	if b != d.no {
		d.flush()
		d.no = b
	}
	d.members.Add(place)
	d.n++
}

func (d *digester) flush() {
	if d.members == (block.Members{}) {
		return
	}
	d.hashed = binary.BigEndian.AppendUint32(d.hashed, uint32(d.no)) // #nosec G115 -- a block number is not negative
	at := len(d.hashed)
	d.hashed = d.members.AppendTo(append(d.hashed, 0))
	d.hashed[at] = byte(len(d.hashed) - at - 1) // #nosec G115 -- 32 at most
	d.members = block.Members{}
}

func (d *digester) sum() (digest string, count int) {
	d.flush()
	if len(d.about) > 0 {
		d.hashed = append(append(d.hashed, 0xff, 0xff, 0xff, 0xff), d.about...)
	}
	sum := sha256.Sum256(d.hashed)
	return "sha256:" + hex.EncodeToString(sum[:]), d.n
}

// Exists reports whether the audience has at least one recipient. It returns the same errors as
// [Preview]. It stops at the first recipient.
func Exists(ctx context.Context, db directory.Beginner, sel Selection, on time.Time) (found bool, err error) {
	err = evaluate(ctx, db, sel, on, func(snapshot *rosterstore.Snapshot, s *selected) error {
		return s.visit(ctx, snapshot, 0, func(_ *rosterstore.Block, _ *roster.Person, in, _ Reason) bool {
			found = in != ""
			return !found
		})
	})
	if err != nil {
		return false, fmt.Errorf("looking for an audience: %w", err)
	}
	return found, nil
}

// Sizes counts the members of every group on the calendar day of on.
func Sizes(ctx context.Context, db directory.Beginner, on time.Time) (map[Group]int, error) {
	var of [rule.Sets]int // the number of people in each set of groups
	everyone := Selection{Groups: []Group{AllPortalUsers}}
	err := evaluate(ctx, db, everyone, on, func(snapshot *rosterstore.Snapshot, s *selected) error {
		return s.visit(ctx, snapshot, 0, func(_ *rosterstore.Block, p *roster.Person, _, _ Reason) bool {
			if p.Active {
				of[rule.Memberships(p, s.day)]++
			}
			return true
		})
	})
	if err != nil {
		return nil, fmt.Errorf("counting the groups: %w", err)
	}
	found := map[Group]int{}
	for _, group := range []Group{ActivePatients, DischargedPatients, AllPortalUsers} {
		found[group] = 0
		for set, n := range of {
			if rule.Set(set).Has(group) { // #nosec G115 -- fewer than Sets
				found[group] += n
			}
		}
	}
	return found, nil
}
