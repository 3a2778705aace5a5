package delivered

import (
	"context"
	"fmt"
	"time"

	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/inbox/authority"
)

// Account is what a row of record.inbox says about on whose account its members got a message.
// Its fields are the columns of these names.
type Account struct {
	Members  []byte
	Patients authority.List
	Roster   []byte
	Day      *time.Time
}

// AccountColumns are the columns of an [Account], of the table i.
const AccountColumns = "i.members, i.patients, i.roster, i.day"

// Fields are where to scan the [AccountColumns].
func (a *Account) Fields() []any { return []any{&a.Members, &a.Patients, &a.Roster, &a.Day} }

// Patients returns on whose account a portal user got some messages: for each row the numbers of
// the patients to whom the portal user had a link in force when the audience was frozen, in
// ascending order. A patient with two relationships is listed twice. It fails if the portal user
// is no member of a row, or if a roster is missing or was changed.
func Patients(ctx context.Context, q cited.Querier, portalUserNo int32, rows []Account) ([][]int32, error) {
	_, place := block.Of(portalUserNo)
	patients := make([][]int32, len(rows))
	var wants []cited.Want
	var rowOf []int // of each want
	for i := range rows {
		r := &rows[i]
		if r.Roster == nil {
			var err error
			if patients[i], err = r.Patients.At(r.Members, place); err != nil {
				return nil, err
			}
			continue
		}
		members, err := block.Parse(r.Members)
		if err != nil {
			return nil, fmt.Errorf("reading who has a message: %w", err)
		}
		if !members.Has(place) || r.Day == nil {
			return nil, fmt.Errorf("place %d: %w", place, authority.ErrNone)
		}
		wants, rowOf = append(wants, cited.Want{Root: roster.Digest(r.Roster), No: portalUserNo}), append(rowOf, i)
	}
	if len(wants) == 0 {
		return patients, nil
	}
	people, err := cited.People(ctx, q, wants)
	if err != nil {
		return nil, err
	}
	for n := range people {
		i := rowOf[n]
		patients[i] = []int32{}
		for _, l := range rule.InForce(&people[n], field.Day(*rows[i].Day)) {
			patients[i] = append(patients[i], l.No)
		}
	}
	return patients, nil
}
