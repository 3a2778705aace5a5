// Package audience computes who gets a message, with the reason for each recipient: from
// groups and from portal users chosen by id. It counts an audience, lists it in pages and
// streams it.
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
// The function classify implements these rules. [Of], [Resolve], [Preview],
// [Exists] and the pages all use it, so they can't disagree. An audience is in ascending
// order of portal user number.
//
// # Concurrency
//
// All functions may be called concurrently, each call with its own transaction.
package audience

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/audience/accounts"
	"postern/internal/directory/field"
)

// Recipient is a portal user in an audience.
type Recipient struct {
	No     int32
	ID     string
	Reason Reason // why the portal user is included
	// Patients are all links of the portal user that are in force, ordered by
	// patient number. They are the authority under which the delivery is read later.
	Patients []Tie
}

// Tie is a link in force, seen from the portal user: the linked patient and the
// relationship.
type Tie struct {
	No           int32
	ID           string
	Relationship string // self or representative
}

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

// Of streams the recipients of a selection on the calendar day of on, each
// once, in ascending order of their number. It stops at the first error, for example
// [UnknownPortalUsers].
//
// The transaction must be REPEATABLE READ, so that the audience is one snapshot.
// It can't be used for anything else until the iteration has ended. A group costs
// one pass over the directory (about a second for a million portal users); each id
// costs a look-up. The caller may keep the recipients.
func Of(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time) iter.Seq2[Recipient, error] {
	return func(yield func(Recipient, error) bool) {
		var ties tieAllocator
		stopped := false
		err := visitSelected(ctx, []pgx.Tx{tx}, sel, on, true, func(a *accounts.Account, in, _ Reason) bool {
			if in == "" {
				return true
			}
			stopped = !yield(Recipient{No: a.No, ID: a.ID, Reason: in, Patients: ties.of(a.Links)}, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Recipient{}, fmt.Errorf("finding the audience: %w", err))
		}
	}
}

// visitSelected calls visit for every account that the selection may concern, in
// order of number, with the reason why it is included or excluded, until visit
// returns false. Without withIDs, links may lack their patients' ids.
func visitSelected(ctx context.Context, txs []pgx.Tx, sel Selection, on time.Time, withIDs bool, visit func(a *accounts.Account, in, out Reason) bool) error {
	s, err := resolveSelection(ctx, txs[0], sel)
	if err != nil {
		return err
	}
	classified := func(a *accounts.Account) bool {
		in, out := s.classify(a)
		return visit(a, in, out)
	}
	if s.chosen == 0 {
		return accounts.VisitSome(ctx, txs[0], slices.Clone(s.added), field.Day(on), classified)
	}
	return accounts.VisitAll(ctx, txs, field.Day(on), withIDs, classified)
}

// selected is a [Selection] with ids resolved to numbers.
type selected struct {
	chosen groups
	added  []int32 // ascending; numbers already passed are removed
}

func resolveSelection(ctx context.Context, q directory.Querier, sel Selection) (*selected, error) {
	chosen, err := groupsOf(sel.Groups)
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
	return &selected{chosen, added}, nil
}

// after removes the added portal users up to and including a number.
func (s *selected) after(no int32) {
	for len(s.added) > 0 && s.added[0] <= no {
		s.added = s.added[1:]
	}
}

// classify returns why an account is included or excluded. Accounts must be passed in
// order of number.
func (s *selected) classify(a *accounts.Account) (in, out Reason) {
	if len(s.added) > 0 && s.added[0] == a.No {
		s.added = s.added[1:]
		return Added, ""
	}
	return classify(a, s.chosen)
}

// Counts is the preview of an audience.
type Counts struct {
	// Count is how many recipients there are.
	Count int
	// Digest is "sha256:" and, in hexadecimal, the SHA-256 over the recipients' ids
	// in bytewise order, each followed by a line feed. It changes exactly when a
	// portal user joins or leaves the audience.
	Digest string
	// Included counts the recipients by reason. Excluded counts the portal users who
	// belong to a chosen group but are kept out of it, by reason. Warnings counts the
	// recipients who will not be alerted, by reason. Reasons with a count of 0 are
	// left out.
	Included, Excluded, Warnings map[string]int
}

// Preview counts the audience of a selection on the calendar day of on, exactly. Like
// [Resolve], it takes its own snapshot. It returns the same errors as [Of].
func Preview(ctx context.Context, db directory.Beginner, sel Selection, on time.Time) (Counts, error) {
	txs, end, err := inOneSnapshot(ctx, db, connections(sel))
	defer end()
	if err != nil {
		return Counts{}, fmt.Errorf("taking a snapshot of the directory: %w", err)
	}
	return preview(ctx, txs, sel, on)
}

func preview(ctx context.Context, txs []pgx.Tx, sel Selection, on time.Time) (Counts, error) {
	counts := Counts{Included: map[string]int{}, Excluded: map[string]int{}, Warnings: map[string]int{}}
	var ids []string
	err := visitSelected(ctx, txs, sel, on, false, func(a *accounts.Account, in, out Reason) bool {
		switch {
		case in != "":
			ids = append(ids, a.ID)
			counts.Included[string(in)]++
			if !a.Active {
				counts.Warnings[string(AccountInactive)]++
			}
			if !a.Addressed {
				counts.Warnings[string(NoAddress)]++
			}
		case out != "":
			counts.Excluded[string(out)]++
		}
		return true
	})
	if err != nil {
		return Counts{}, fmt.Errorf("counting the audience: %w", err)
	}
	counts.Count, counts.Digest = len(ids), digest(ids)
	return counts, nil
}

func digest(ids []string) string {
	slices.Sort(ids)
	sum := sha256.New()
	line := make([]byte, 0, 1<<16)
	for _, id := range ids {
		line = append(append(line, id...), '\n')
		if len(line) > 1<<15 {
			sum.Write(line)
			line = line[:0]
		}
	}
	sum.Write(line)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Exists reports whether the audience has at least one recipient. It returns the same
// errors as [Of]. It reads the whole directory only if none of the first
// thousand portal users is included.
func Exists(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time) (found bool, err error) {
	isIn := func(_ *accounts.Account, in, _ Reason) bool {
		found = in != ""
		return !found
	}
	if len(sel.PortalUserIDs) == 0 && len(sel.Groups) > 0 {
		found, err = anyOfFirst(ctx, tx, sel.Groups, on)
	}
	if !found && err == nil {
		err = visitSelected(ctx, []pgx.Tx{tx}, sel, on, false, isIn)
	}
	if err != nil {
		return false, fmt.Errorf("looking for an audience: %w", err)
	}
	return found, nil
}

// anyOfFirst reports whether one of the first thousand portal users is in a group.
func anyOfFirst(ctx context.Context, tx pgx.Tx, of []Group, on time.Time) (found bool, err error) {
	chosen, err := groupsOf(of)
	if err != nil {
		return false, err
	}
	rows, err := tx.Query(ctx, `SELECT portal_user_no FROM app.portal_users ORDER BY portal_user_no LIMIT 1000`)
	if err != nil {
		return false, err
	}
	nos, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return false, err
	}
	err = accounts.VisitSome(ctx, tx, nos, field.Day(on), func(a *accounts.Account) bool {
		in, _ := classify(a, chosen)
		found = in != ""
		return !found
	})
	return found, err
}

// tieAllocator allocates the ties of thousands of recipients at a time.
type tieAllocator struct{ ties []Tie }

// of returns the links that are in force.
func (blk *tieAllocator) of(links []accounts.Link) []Tie {
	if cap(blk.ties)-len(blk.ties) < len(links) {
		blk.ties = make([]Tie, 0, max(1<<10, len(links)))
	}
	start := len(blk.ties)
	for i := range links {
		if l := &links[i]; l.Term == accounts.InForce {
			blk.ties = append(blk.ties, Tie{No: l.PatientNo, ID: l.PatientID, Relationship: relationship(l)})
		}
	}
	return slices.Clip(blk.ties[start:])
}

func relationship(l *accounts.Link) string {
	if l.Self {
		return directory.Self
	}
	return directory.Representative
}
