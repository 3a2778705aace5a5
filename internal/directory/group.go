package directory

import "fmt"

// Group names a set of portal users that staff may send to as a whole.
type Group string

// The groups; see the package's documentation for who is in them.
const (
	ActivePatients     Group = "active_patients"
	DischargedPatients Group = "discharged_patients"
	AllPortalUsers     Group = "all_portal_users"
)

// Selection is the recipients as chosen: portal users by id, and groups.
type Selection struct {
	PortalUserIDs []string
	Groups        []Group
}

// Reason is why somebody is in an audience, or is not, or what to warn of.
type Reason string

// Reasons of inclusion. Each recipient is counted once, under the first that fits.
const (
	Added             Reason = "added"
	ActivePatient     Reason = "active_patient"
	DischargedPatient Reason = "discharged_patient"
	AnyPortalUser     Reason = "any_portal_user"
)

// Reasons of exclusion: what keeps a portal user out of a chosen group. Each is
// counted once, under the first that stands in the way. AccountInactive is also a
// warning, of recipients that were added, and NoAddress of any: neither of them
// is going to be alerted.
const (
	AccountInactive Reason = "account_inactive"
	Deceased        Reason = "deceased"
	LinkEnded       Reason = "link_ended"
	LinkNotBegun    Reason = "link_not_begun"
	NoAddress       Reason = "no_address"
)

// groups is a set of [Group], in which to answer with bits.
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

// account is a portal user as the rules see one.
type account struct {
	no        int32
	id        string
	active    bool
	addressed bool
	links     []link // in order of patient number
}

// link is one of an account's, with what the rules need of its patient.
type link struct {
	patientNo  int32
	patientID  string
	self       bool
	discharged bool
	deceased   bool
	term       term
}

// term is how a link's dates stand to a day.
type term uint8

const (
	inForce term = iota
	ended
	notBegun
)

// brings says which group a link that is in force brings its portal user into.
func (l *link) brings() groups {
	switch {
	case !l.deceased:
		return l.ifAlive()
	case l.self:
		return 0
	default:
		return discharged
	}
}

func (l *link) ifAlive() groups {
	if l.discharged {
		return discharged
	}
	return active
}

// classify says why the account is in one of the chosen groups, or else what
// keeps it out of one. Both are "" for an account that has nothing to do with them.
func (a *account) classify(chosen groups) (in, out Reason) {
	if chosen == 0 {
		return "", ""
	}
	hit := chosen & a.belongs()
	if hit == 0 || !a.active {
		return "", a.obstacle(chosen)
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

// belongs says which groups the account is in, if it is active.
func (a *account) belongs() groups {
	var set groups
	var mourned, other bool
	for i := range a.links {
		l := &a.links[i]
		if l.term != inForce {
			continue
		}
		set |= l.brings()
		if l.self && l.deceased {
			mourned = true
		} else {
			other = true
		}
	}
	if other || !mourned {
		set |= all
	}
	return set
}

// obstacle says what keeps an account that is in none of the chosen groups out of
// one: with nothing in the way of one of its links, it would be in.
func (a *account) obstacle(chosen groups) Reason {
	dead, over, early := chosen&all != 0, false, false
	open := false // a link in force would do, but for the account
	for i := range a.links {
		switch l := &a.links[i]; {
		case l.brings()&chosen != 0:
			over = over || l.term == ended
			early = early || l.term == notBegun
			open = open || l.term == inForce
		case l.ifAlive()&chosen != 0:
			dead = true
		}
	}
	switch {
	case !a.active && (open || dead || over || early):
		return AccountInactive
	case dead:
		return Deceased
	case over:
		return LinkEnded
	case early:
		return LinkNotBegun
	default:
		return ""
	}
}
