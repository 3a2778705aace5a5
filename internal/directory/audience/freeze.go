package audience

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
)

// Audience is an audience at one moment, by blocks.
type Audience struct {
	// Day is the day on which the rule was evaluated, as field.Day counts it.
	Day int32
	// Directory is the state of the directory on which the groups were evaluated. Its rosters are
	// stored. It is empty in a selection without groups.
	Directory roster.State
	// Blocks are the blocks with recipients, in ascending order.
	Blocks []Block
	// Included counts the recipients by reason, Excluded the portal users who belong to a chosen
	// group but are kept out of it.
	Included, Excluded map[string]int

	// Chosen are the recipients of a selection without groups, in ascending order of number.
	Chosen []Recipient
}

// Block is the part of an audience in one block.
type Block struct {
	No block.No
	// Root is the root of the roster on which the members were evaluated, as Directory has it. It
	// is zero in a selection without groups, which is not evaluated on rosters.
	Root roster.Digest
	// Members are the recipients. ByID are those of them who are in none of the chosen groups:
	// they were chosen by id. The others are what the rule gives on the roster and the day.
	Members, ByID block.Members
}

// Recipient is a portal user in an audience.
type Recipient struct {
	No int32
	ID string
	// Patients are all links of the portal user that are in force, ordered by
	// patient number. They are the authority under which the delivery is read later.
	Patients []Tie
}

// Freeze returns the audience of a selection on the calendar day of on, with the state of the
// directory. It returns the same errors as [Preview].
func Freeze(ctx context.Context, rosters *rosterstore.Store, sel Selection, on time.Time) (*Audience, error) {
	a := &Audience{}
	var built []roster.Roster // of the blocks in a.Directory that have no root yet
	var included, excluded tally
	add := func(snapshot *rosterstore.Snapshot, s *selected) error {
		a.Day = s.day
		return s.visit(ctx, snapshot, 0, func(b *rosterstore.Block, p *roster.Person, in, out Reason) bool {
			no, place := block.Of(p.No)
			if b != nil && (len(a.Directory) == 0 || a.Directory[len(a.Directory)-1].Block != no) {
				a.Directory = append(a.Directory, roster.BlockRoot{Block: no, Root: b.Root})
				if b.Built() {
					built = append(built, b.Roster)
				}
			}
			if in == "" {
				if out != "" {
					excluded.add(out)
				}
				return true
			}
			included.add(in)
			if len(a.Blocks) == 0 || a.Blocks[len(a.Blocks)-1].No != no {
				a.Blocks = append(a.Blocks, Block{No: no})
			}
			last := &a.Blocks[len(a.Blocks)-1]
			last.Members.Add(place)
			if byRule, _ := s.chosen.Why(p, s.day); byRule == "" {
				last.ByID.Add(place)
			}
			if b == nil {
				a.Chosen = append(a.Chosen, Recipient{No: p.No, ID: p.ID, Patients: rule.InForce(p, s.day)})
			}
			return true
		})
	}
	if err := evaluateOn(ctx, rosters.Pool, sel, on, add); err != nil {
		return nil, fmt.Errorf("finding the audience: %w", err)
	}
	a.Included, a.Excluded = included.counts(), excluded.counts()
	// The snapshot has ended. The rosters that were built in it are stored, so that their roots can
	// be cited; they do not become current. A crash here leaves rosters that nothing cites.
	roots, err := rosters.Put(ctx, built)
	if err != nil {
		return nil, fmt.Errorf("finding the audience: %w", err)
	}
	at := 0 // in a.Blocks
	for i := range a.Directory {
		b := &a.Directory[i]
		if b.Root == (roster.Digest{}) {
			b.Root, roots = roots[0], roots[1:]
		}
		if at < len(a.Blocks) && a.Blocks[at].No == b.Block {
			a.Blocks[at].Root = b.Root
			at++
		}
	}
	return a, nil
}

// evaluateOn is evaluate without a snapshot for a selection without groups: one query reads it, and
// an id has one number for ever.
func evaluateOn(ctx context.Context, pool *pgxpool.Pool, sel Selection, on time.Time, do func(*rosterstore.Snapshot, *selected) error) error {
	if len(sel.Groups) > 0 {
		return evaluate(ctx, pool, sel, on, do)
	}
	s, err := resolveSelection(ctx, pool, sel, on)
	if err != nil {
		return err
	}
	return do(nil, s)
}

// Count returns the number of recipients.
func (a *Audience) Count() (n int) {
	for i := range a.Blocks {
		n += a.Blocks[i].Members.Count()
	}
	return n
}
