package audience

import (
	"fmt"

	"postern/internal/directory/audience/accounts"
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
func memberOf(l *accounts.Link) groups {
	switch {
	case !l.Deceased:
		return memberOfIfAlive(l)
	case l.Self:
		return 0
	default:
		return discharged
	}
}

func memberOfIfAlive(l *accounts.Link) groups {
	if l.Discharged {
		return discharged
	}
	return active
}

// classify returns why the account is included in one of the chosen groups, or else why
// it is excluded from one. Both are "" for an account unrelated to the groups.
func classify(a *accounts.Account, chosen groups) (in, out Reason) {
	if chosen == 0 {
		return "", ""
	}
	hit := chosen & memberships(a)
	if hit == 0 || !a.Active {
		return "", exclusion(a, chosen)
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

// memberships returns the groups that the account is in, if it is active.
func memberships(a *accounts.Account) groups {
	var set groups
	var deceasedSelf, otherLink bool
	for i := range a.Links {
		l := &a.Links[i]
		if l.Term != accounts.InForce {
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

// exclusion returns why an account is in none of the chosen groups. It is "" if none of
// its links would put it in one, even with other dates or a living patient.
func exclusion(a *accounts.Account, chosen groups) Reason {
	isDeceased, hasEnded, hasNotBegun := chosen&all != 0, false, false
	isLinked := false // a link in force would include the account, if it were active
	for i := range a.Links {
		switch l := &a.Links[i]; {
		case memberOf(l)&chosen != 0:
			hasEnded = hasEnded || l.Term == accounts.Ended
			hasNotBegun = hasNotBegun || l.Term == accounts.NotBegun
			isLinked = isLinked || l.Term == accounts.InForce
		case memberOfIfAlive(l)&chosen != 0:
			isDeceased = true
		}
	}
	switch {
	case !a.Active && (isLinked || isDeceased || hasEnded || hasNotBegun):
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
