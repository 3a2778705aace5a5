package matter_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
)

const day = 20_000

// mother is linked to an active daughter, a discharged son, and an aunt whose link has ended.
func mother() *roster.Person {
	link := func(no int32, id string) roster.Link {
		return roster.Link{PatientNo: no, PatientID: id}
	}
	daughter, son, aunt := link(1, "daughter"), link(2, "son"), link(3, "aunt")
	son.Discharged, aunt.Until = true, field.Date{Set: true, Day: day - 1}
	return &roster.Person{No: 9, ID: "mother", Active: true, Links: []roster.Link{daughter, son, aunt}}
}

func tie(no int32, id string) rule.Tie {
	return rule.Tie{No: no, ID: id, Relationship: "representative"}
}

// Whose matter the message to a mother of two is.
func TestWhoseMatterItIs(t *testing.T) {
	t.Parallel()
	set := func(groups ...rule.Group) rule.Set {
		s, err := rule.SetOf(groups)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	both := []rule.Tie{tie(1, "daughter"), tie(2, "son")}
	about := func(ids ...string) map[string][]string { return map[string][]string{"mother": ids} }
	for name, c := range map[string]struct {
		said matter.Statement
		want matter.Matter
	}{
		"picked":                     {matter.Statement{States: true, About: about("son")}, matter.Matter{Basis: matter.Picked, Patients: both[1:]}},
		"picked, and in a group":     {matter.Statement{States: true, About: about("son"), Groups: set(rule.ActivePatients)}, matter.Matter{Basis: matter.Picked, Patients: both[1:]}},
		"picked, and the link ended": {matter.Statement{States: true, About: about("aunt")}, matter.Matter{Basis: matter.Picked, Patients: []rule.Tie{{ID: "aunt"}}}},
		"not picked":                 {matter.Statement{States: true}, matter.Matter{Basis: matter.NotStated, Patients: both}},
		"of an earlier version":      {matter.Statement{Groups: set(rule.ActivePatients)}, matter.Matter{Basis: matter.NotStated, Patients: both}},
		"active patients":            {matter.Statement{States: true, Groups: set(rule.ActivePatients)}, matter.Matter{Basis: matter.ByGroup, Patients: both[:1]}},
		"discharged patients":        {matter.Statement{States: true, Groups: set(rule.DischargedPatients)}, matter.Matter{Basis: matter.ByGroup, Patients: both[1:]}},
		"all portal users":           {matter.Statement{States: true, Groups: set(rule.AllPortalUsers)}, matter.Matter{Basis: matter.ByGroup, Patients: both}},
	} {
		if diff := cmp.Diff(c.want, c.said.OfPerson(mother(), day)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if c.said.Groups != 0 {
			continue
		}
		if diff := cmp.Diff(c.want, c.said.OfChosen("mother", both)); diff != "" {
			t.Errorf("%s, chosen (-want +got):\n%s", name, diff)
		}
	}
	alone := &roster.Person{No: 9, ID: "alone", Active: true}
	if got := (matter.Statement{States: true, Groups: set(rule.AllPortalUsers)}).OfPerson(alone, day); got.Basis != matter.NoPatient || len(got.IDs()) != 0 {
		t.Errorf("a portal user without a link: %+v", got)
	}
}
