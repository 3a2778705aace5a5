// Package rule defines who is in which group of portal users on which day, and why. It is the
// only definition: previews, audiences, receipts and the verification of the record use it, so
// they can't disagree. The documentation of package audience has the rules in words.
//
// Nothing in it does I/O. All functions are safe for concurrent use.
package rule

import (
	"fmt"

	"postern/internal/directory/field"
	"postern/internal/directory/roster"
)

// Group names a set of portal users that staff may choose as recipients.
type Group string

// The groups. Package audience's documentation defines their members.
const (
	ActivePatients     Group = "active_patients"
	DischargedPatients Group = "discharged_patients"
	AllPortalUsers     Group = "all_portal_users"
)

// Reason is the reason why a portal user is included in an audience or excluded from
// it, or why a warning is shown.
type Reason string

// Reasons for inclusion. Each recipient is counted once, under the first that applies.
const (
	Added             Reason = "added"
	ActivePatient     Reason = "active_patient"
	DischargedPatient Reason = "discharged_patient"
	AnyPortalUser     Reason = "any_portal_user"
)

// Reasons for exclusion from a chosen group. Each portal user is counted once, under
// the first that applies. AccountInactive is also a warning for added recipients, and
// NoAddress for all recipients: neither of them is alerted. OptedOut is a warning for those who
// could be alerted, and turned that off.
const (
	AccountInactive Reason = "account_inactive"
	Deceased        Reason = "deceased"
	LinkEnded       Reason = "link_ended"
	LinkNotBegun    Reason = "link_not_begun"
	NoAddress       Reason = "no_address"
	OptedOut        Reason = "opted_out"
)

// Set is a set of groups. The zero value is empty.
type Set uint8

const (
	active Set = 1 << iota
	discharged
	all
)

// Sets is the number of different sets.
const Sets = 1 << 3

// SetOf returns the set of some groups. The error names an unknown one.
func SetOf[G ~string](chosen []G) (Set, error) {
	var set Set
	for _, g := range chosen {
		switch Group(g) {
		case ActivePatients:
			set |= active
		case DischargedPatients:
			set |= discharged
		case AllPortalUsers:
			set |= all
		default:
			return 0, fmt.Errorf("unknown group %q: choose %s, %s or %s", g, ActivePatients, DischargedPatients, AllPortalUsers)
		}
	}
	return set, nil
}

// memberOf returns the groups that the link makes its portal user a member of while the
// link is in force.
func memberOf(l *roster.Link) Set {
	switch {
	case !l.Deceased:
		return memberOfIfAlive(l)
	case l.Self:
		return 0
	default:
		return discharged
	}
}

func memberOfIfAlive(l *roster.Link) Set {
	if l.Discharged {
		return discharged
	}
	return active
}

// Has reports whether a group is in the set.
func (s Set) Has(g Group) bool {
	one, err := SetOf([]Group{g})
	return err == nil && s&one != 0
}

// Why returns why a person is included in one of the chosen groups on a day, as field.Day counts
// it, or else why excluded from one. Both are "" for a person unrelated to the groups.
func (s Set) Why(p *roster.Person, day int32) (in, out Reason) {
	if s == 0 {
		return "", ""
	}
	hit := s & Memberships(p, day)
	if hit == 0 || !p.Active {
		return "", exclusion(p, day, s)
	}
	switch {
	case hit&active != 0:
		return ActivePatient, ""
	case hit&discharged != 0:
		return DischargedPatient, ""
	default:
		return AnyPortalUser, ""
	}
}

// Memberships returns the groups that a person is in on a day, if active.
func Memberships(p *roster.Person, day int32) Set {
	var set Set
	var deceasedSelf, otherLink bool
	for i := range p.Links {
		l := &p.Links[i]
		if l.On(day) != roster.InForce {
			continue
		}
		set |= memberOf(l)
		if l.Self && l.Deceased {
			deceasedSelf = true
		} else {
			otherLink = true
		}
	}
	if otherLink || !deceasedSelf {
		set |= all
	}
	return set
}

// exclusion returns why a person is in none of the chosen Set on a day. It is "" if no
// link would put the person in one, even with other dates or a living patient.
func exclusion(p *roster.Person, day int32, chosen Set) Reason {
	isDeceased, hasEnded, hasNotBegun := chosen&all != 0, false, false
	isLinked := false // a link in force would include the person, if active
	for i := range p.Links {
		switch l := &p.Links[i]; {
		case memberOf(l)&chosen != 0:
			term := l.On(day)
			hasEnded = hasEnded || term == roster.Ended
			hasNotBegun = hasNotBegun || term == roster.NotBegun
			isLinked = isLinked || term == roster.InForce
		case memberOfIfAlive(l)&chosen != 0:
			isDeceased = true
		}
	}
	switch {
	case !p.Active && (isLinked || isDeceased || hasEnded || hasNotBegun):
		return AccountInactive
	case isDeceased:
		return Deceased
	case hasEnded:
		return LinkEnded
	case hasNotBegun:
		return LinkNotBegun
	default:
		return ""
	}
}

// Tie is a link of a portal user: the linked patient and the relationship.
type Tie struct {
	No           int32
	ID           string
	Relationship string // self or representative
}

// InForce returns the links of a person that are in force on a day, as field.Day counts it, in
// the order of the links. They are the authority under which a delivery of that day is read.
func InForce(p *roster.Person, day int32) []Tie {
	return ties(p, func(l *roster.Link) bool { return l.On(day) == roster.InForce })
}

// Because returns the links that are the reason which [Set.Why] gives for a person on a day. For
// a reason that is about no link, they are those in force.
func (s Set) Because(p *roster.Person, day int32) []Tie {
	in, out := s.Why(p, day)
	var decides func(l *roster.Link) bool
	switch {
	case in == ActivePatient:
		decides = func(l *roster.Link) bool { return l.On(day) == roster.InForce && memberOf(l) == active }
	case in == DischargedPatient:
		decides = func(l *roster.Link) bool { return l.On(day) == roster.InForce && memberOf(l) == discharged }
	case out == LinkEnded:
		decides = func(l *roster.Link) bool { return l.On(day) == roster.Ended && memberOf(l)&s != 0 }
	case out == LinkNotBegun:
		decides = func(l *roster.Link) bool { return l.On(day) == roster.NotBegun && memberOf(l)&s != 0 }
	case out == Deceased:
		decides = func(l *roster.Link) bool { return l.Deceased }
	default:
		return InForce(p, day)
	}
	return ties(p, decides)
}

func ties(p *roster.Person, wanted func(*roster.Link) bool) []Tie {
	var found []Tie
	for i := range p.Links {
		if l := &p.Links[i]; wanted(l) {
			found = append(found, Tie{No: l.PatientNo, ID: l.PatientID, Relationship: relationship(l.Self)})
		}
	}
	return found
}

func relationship(self bool) string {
	if self {
		return field.Self
	}
	return field.Representative
}
