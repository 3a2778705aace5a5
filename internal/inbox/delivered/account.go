package delivered

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/inbox/authority"
)

// Account is what a row of record.inbox, and that of its message, say about on whose account a
// portal user got the message. Its fields are the columns of these names.
type Account struct {
	Members  []byte
	Patients authority.List
	Roster   []byte
	Day      *time.Time
	// States says whether the message states whom it concerns, and Picked has the ids of the patients
	// that were picked for the portal user, nil if there are none.
	States bool
	Picked []string
	Groups []string
}

// AccountColumns are the columns of an [Account], of the table record.inbox as i and record.messages as
// m. $3 is the number of the portal user.
const AccountColumns = `i.members, i.patients, i.roster, i.day, coalesce(m.recipients ? 'about', false),
	m.recipients -> 'about' -> (SELECT u.portal_user_id FROM app.portal_users u WHERE u.portal_user_no = $3), m.recipients -> 'groups'`

// Fields are where to scan the [AccountColumns].
func (a *Account) Fields() []any {
	return []any{&a.Members, &a.Patients, &a.Roster, &a.Day, &a.States, &a.Picked, &a.Groups}
}

// Patients returns on whose account a portal user got some messages: for each row the numbers of the
// patients whom the delivery concerns, in ascending order (see package matter). If that is not
// stated, they are all to whom the portal user had a link in force when the audience was frozen. A
// patient with two relationships is listed twice. It fails if the portal user is no member of a
// row, or if a roster is missing or was changed.
func Patients(ctx context.Context, q cited.Querier, portalUserNo int32, rows []Account) ([][]int32, error) {
	_, place := block.Of(portalUserNo)
	patients := make([][]int32, len(rows))
	var wants []cited.Want
	var rowOf []int // of each want
	for i := range rows {
		r := &rows[i]
		members, err := block.Parse(r.Members)
		if err != nil {
			return nil, fmt.Errorf("reading who has a message: %w", err)
		}
		if !members.Has(place) || r.Roster != nil && r.Day == nil {
			return nil, fmt.Errorf("place %d: %w", place, authority.ErrNone)
		}
		switch {
		case r.Roster == nil:
			if patients[i], err = r.Patients.At(r.Members, place); err != nil {
				return nil, err
			}
		case !r.picks():
			wants, rowOf = append(wants, cited.Want{Root: roster.Digest(r.Roster), No: portalUserNo}), append(rowOf, i)
		}
	}
	if err := numberPicks(ctx, q, rows, patients); err != nil {
		return nil, err
	}
	if len(wants) == 0 {
		return patients, nil
	}
	people, err := cited.People(ctx, q, wants)
	if err != nil {
		return nil, err
	}
	for n := range people {
		r := &rows[rowOf[n]]
		said, err := statement(r.States, nil, r.Groups)
		if err != nil {
			return nil, err
		}
		nos := []int32{}
		for _, l := range said.OfPerson(&people[n], field.Day(*r.Day)).Patients {
			nos = append(nos, l.No)
		}
		patients[rowOf[n]] = nos
	}
	return patients, nil
}

// picks reports whether patients were picked for the portal user.
func (a *Account) picks() bool { return a.States && len(a.Picked) > 0 }

// numberPicks sets the patients of the rows for which some were picked. An id has one number for ever. A
// patient who is not in the directory any more has none.
func numberPicks(ctx context.Context, q cited.Querier, rows []Account, patients [][]int32) error {
	var ids []string
	for i := range rows {
		if rows[i].picks() {
			ids = append(ids, rows[i].Picked...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := q.Query(ctx, `SELECT patient_id, patient_no FROM app.patients WHERE patient_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("looking patients up: %w", err)
	}
	numbers := map[string]int32{}
	var id string
	var no int32
	if _, err := pgx.ForEachRow(found, []any{&id, &no}, func() error { numbers[id] = no; return nil }); err != nil {
		return fmt.Errorf("looking patients up: %w", err)
	}
	for i := range rows {
		if !rows[i].picks() {
			continue
		}
		patients[i] = []int32{}
		for _, id := range rows[i].Picked {
			no, known := numbers[id]
			if !known {
				no = unknownPatient
			}
			patients[i] = append(patients[i], no)
		}
		slices.Sort(patients[i])
	}
	return nil
}

// unknownPatient is the number of no patient. A delivery that concerns only such patients is read by
// none; without it, the delivery would be the portal user's own.
const unknownPatient = 0

// statement is what a message states.
func statement(states bool, about map[string][]string, groups []string) (matter.Statement, error) {
	set, err := rule.SetOf(groups)
	return matter.Statement{States: states, About: about, Groups: set}, err
}
