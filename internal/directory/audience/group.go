package audience

import (
	"fmt"

	"postern/internal/directory/roster"
)

// Group names a set of portal users that staff may choose as recipients.
type Group string

// The groups. The package's documentation defines their members.
const (
	ActivePatients     Group = "active_patients"
	DischargedPatients Group = "discharged_patients"
	AllPortalUsers     Group = "all_portal_users"
)

// Selection is the choice of recipients: portal users by id, and groups.
type Selection struct {
	PortalUserIDs []string
	Groups        []Group
}

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
// NoAddress for all recipients: neither of them is alerted.
const (
	AccountInactive Reason = "account_inactive"
	Deceased        Reason = "deceased"
	LinkEnded       Reason = "link_ended"
	LinkNotBegun    Reason = "link_not_begun"
	NoAddress       Reason = "no_address"
)

// groups is a set of [Group] as a bit mask.
type groups uint8

const (
	active groups = 1 << iota
	discharged
	all
)

func groupsOf(chosen []Group) (groups, error) {
	var set groups
	for _, g := range chosen {
		switch g {
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
func memberOf(l *roster.Link) groups {
	switch {
	case !l.Deceased:
		return memberOfIfAlive(l)
	case l.Self:
		return 0
	default:
		return discharged
	}
}

func memberOfIfAlive(l *roster.Link) groups {
	if l.Discharged {
		return discharged
	}
	return active
}

// classify returns why a person is included in one of the chosen groups on a day, or else why
// excluded from one. Both are "" for a person unrelated to the groups.
func classify(p *roster.Person, day int32, chosen groups) (in, out Reason) {
	if chosen == 0 {
		return "", ""
	}
	hit := chosen & memberships(p, day)
	if hit == 0 || !p.Active {
		return "", exclusion(p, day, chosen)
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

// memberships returns the groups that a person is in on a day, if active.
func memberships(p *roster.Person, day int32) groups {
	var set groups
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

// exclusion returns why a person is in none of the chosen groups on a day. It is "" if no
// link would put the person in one, even with other dates or a living patient.
func exclusion(p *roster.Person, day int32, chosen groups) Reason {
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
