package directory

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
)

// Recipient is a portal user in an audience.
type Recipient struct {
	No     int32
	ID     string
	Reason Reason // why the portal user is in it
	// Patients are all links of the portal user that are in force, in order of
	// patient number: the authority under which the delivery is read later.
	Patients []Tie
}

// Tie is a link that is in force, by its patient.
type Tie struct {
	No           int32
	ID           string
	Relationship string // self or representative
}

// The relationships of a link.
const (
	Self           = "self"
	Representative = "representative"
)

// UnknownPortalUsers is the error for a selection that names portal users by ids
// that the directory does not hold.
type UnknownPortalUsers struct{ IDs []string }

func (e *UnknownPortalUsers) Error() string {
	const most = 10
	named := e.IDs[:min(len(e.IDs), most)]
	more := ""
	if len(e.IDs) > most {
		more = fmt.Sprintf(" and %d more", len(e.IDs)-most)
	}
	return fmt.Sprintf("no portal user has the id %s%s: import them first, or take them off the recipients", strings.Join(named, ", "), more)
}

// Audience streams the recipients of a selection on the calendar day of on, each
// once, in ascending order of their number. It ends with an error at the first
// fault, [UnknownPortalUsers] among them.
//
// The transaction must be REPEATABLE READ, so that the audience is of one moment.
// It can't be used for anything else until the iteration has ended. A group costs
// one pass over the directory (about a second a million portal users), ids cost a
// look-up each. The recipients may be kept.
func Audience(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time) iter.Seq2[Recipient, error] {
	return func(yield func(Recipient, error) bool) {
		var ties tieBlock
		stopped := false
		err := visitSelected(ctx, []pgx.Tx{tx}, sel, on, true, func(a *account, in, _ Reason) bool {
			if in == "" {
				return true
			}
			stopped = !yield(Recipient{No: a.no, ID: a.id, Reason: in, Patients: ties.of(a.links)}, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Recipient{}, fmt.Errorf("finding the audience: %w", err))
		}
	}
}

// visitSelected calls visit with every account that the selection may be about, in
// order of number, and why it is in the audience or is not, until it returns false.
// Without withIDs, links may lack their patients' ids.
func visitSelected(ctx context.Context, txs []pgx.Tx, sel Selection, on time.Time, withIDs bool, visit func(a *account, in, out Reason) bool) error {
	s, err := resolveSelection(ctx, txs[0], sel)
	if err != nil {
		return err
	}
	classified := func(a *account) bool {
		in, out := s.classify(a)
		return visit(a, in, out)
	}
	if s.chosen == 0 {
		return visitSome(ctx, txs[0], slices.Clone(s.added), dayOf(on), classified)
	}
	return visitAll(ctx, txs, dayOf(on), withIDs, classified)
}

// selected is a selection in numbers.
type selected struct {
	chosen groups
	added  []int32 // ascending, those of them that were not yet asked about
}

func resolveSelection(ctx context.Context, q Querier, sel Selection) (*selected, error) {
	chosen, err := groupsOf(sel.Groups)
	if err != nil {
		return nil, err
	}
	added, unknown, err := lookUp(ctx, q, sel.PortalUserIDs)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, &UnknownPortalUsers{IDs: unknown}
	}
	return &selected{chosen, added}, nil
}

// after leaves out everybody up to a number.
func (s *selected) after(no int32) {
	for len(s.added) > 0 && s.added[0] <= no {
		s.added = s.added[1:]
	}
}

// classify says why an account is in or out. Accounts come in order of number.
func (s *selected) classify(a *account) (in, out Reason) {
	if len(s.added) > 0 && s.added[0] == a.no {
		s.added = s.added[1:]
		return Added, ""
	}
	return a.classify(s.chosen)
}

// lookUp gives the numbers of the portal users, ascending, each once, and those
// ids that nobody has.
func lookUp(ctx context.Context, q Querier, ids []string) (nos []int32, unknown []string, err error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	rows, err := q.Query(ctx,
		`SELECT portal_user_no, portal_user_id FROM app.portal_users WHERE portal_user_id = ANY($1) ORDER BY portal_user_no`, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("looking portal users up: %w", err)
	}
	known := make(map[string]bool, len(ids))
	var no int32
	var id string
	_, err = pgx.ForEachRow(rows, []any{&no, &id}, func() error {
		nos = append(nos, no)
		known[id] = true
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("looking portal users up: %w", err)
	}
	for _, id := range ids {
		if !known[id] {
			known[id] = true
			unknown = append(unknown, id)
		}
	}
	return nos, unknown, nil
}

// CheckIDs gives those of the ids that no portal user has, in the order given.
func CheckIDs(ctx context.Context, q Querier, ids []string) (unknown []string, err error) {
	_, unknown, err = lookUp(ctx, q, ids)
	return unknown, err
}

// Counts is what a preview says of an audience.
type Counts struct {
	// Count is how many recipients there are.
	Count int
	// Digest is "sha256:" and, in hexadecimal, the SHA-256 over the recipients' ids
	// in bytewise order, each followed by a line feed. It changes exactly when
	// somebody comes into the audience or leaves it.
	Digest string
	// Included counts the recipients by why they are in, Excluded the portal users
	// who would be in a chosen group but for something, by what it is. Warnings
	// counts recipients who will not be alerted, by why. Reasons that nobody has
	// are left out.
	Included, Excluded, Warnings map[string]int
}

// Preview counts the audience of a selection on the calendar day of on, exactly, in a
// snapshot of its own, as [Resolve] does. It fails as [Audience] does.
func Preview(ctx context.Context, db Beginner, sel Selection, on time.Time) (Counts, error) {
	txs, end, err := together(ctx, db, lanes(sel))
	defer end()
	if err != nil {
		return Counts{}, fmt.Errorf("taking a snapshot of the directory: %w", err)
	}
	return preview(ctx, txs, sel, on)
}

func preview(ctx context.Context, txs []pgx.Tx, sel Selection, on time.Time) (Counts, error) {
	counts := Counts{Included: map[string]int{}, Excluded: map[string]int{}, Warnings: map[string]int{}}
	var ids []string
	err := visitSelected(ctx, txs, sel, on, false, func(a *account, in, out Reason) bool {
		switch {
		case in != "":
			ids = append(ids, a.id)
			counts.Included[string(in)]++
			if !a.active {
				counts.Warnings[string(AccountInactive)]++
			}
			if !a.addressed {
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

// Exists says whether anybody at all is in the audience. It fails as [Audience]
// does. It mostly finds somebody at once: only where nobody among the first
// portal users is in, the whole directory is gone through.
func Exists(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time) (found bool, err error) {
	isIn := func(_ *account, in, _ Reason) bool {
		found = in != ""
		return !found
	}
	if len(sel.PortalUserIDs) == 0 && len(sel.Groups) > 0 {
		found, err = amongFirst(ctx, tx, sel.Groups, on)
	}
	if !found && err == nil {
		err = visitSelected(ctx, []pgx.Tx{tx}, sel, on, false, isIn)
	}
	if err != nil {
		return false, fmt.Errorf("looking for an audience: %w", err)
	}
	return found, nil
}

// amongFirst says whether one of the first thousand portal users is in a group.
func amongFirst(ctx context.Context, tx pgx.Tx, of []Group, on time.Time) (found bool, err error) {
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
	err = visitSome(ctx, tx, nos, dayOf(on), func(a *account) bool {
		in, _ := a.classify(chosen)
		found = in != ""
		return !found
	})
	return found, err
}

// tieBlock makes the ties of recipients, thousands to an allocation.
type tieBlock struct{ ties []Tie }

// of gives the links that are in force.
func (blk *tieBlock) of(links []link) []Tie {
	if cap(blk.ties)-len(blk.ties) < len(links) {
		blk.ties = make([]Tie, 0, max(1<<10, len(links)))
	}
	start := len(blk.ties)
	for i := range links {
		if l := &links[i]; l.term == inForce {
			blk.ties = append(blk.ties, Tie{No: l.patientNo, ID: l.patientID, Relationship: l.relationship()})
		}
	}
	return slices.Clip(blk.ties[start:])
}

func (l *link) relationship() string {
	if l.self {
		return Self
	}
	return Representative
}
