// Package matter defines which patients a delivery concerns: whose matter the message to one
// recipient is. It is the only definition: the portal, disclosures, exports, receipts and
// certificates use it, so they can't disagree.
//
//   - A portal user who was chosen by id: the patients whom the sender picked. If the portal user was
//     linked to one patient when the message was sent, that patient was picked for the sender.
//   - Otherwise, a portal user whom a chosen group brought in: the patients whose links did it, on the
//     day on which the group was evaluated (see [rule.Set.Because]).
//   - Otherwise it is not stated, and the delivery may concern every patient to whom the portal user had
//     a link in force when the audience was frozen. So it is for all messages that were sent before
//     messages stated it.
//
// A picked patient stays the one whom the message concerns if the link to them has ended before the
// audience is frozen. The portal user can't read the message then: see package inbox.
//
// Nothing in it does I/O. All functions are safe for concurrent use.
package matter

import (
	"slices"

	"postern/internal/directory/audience/rule"
	"postern/internal/directory/roster"
)

// Basis says how it is known which patients a delivery concerns.
type Basis string

// The values of [Basis].
const (
	Picked    Basis = "picked"     // by the sender, or the only patient of the recipient at sending
	ByGroup   Basis = "group"      // those who brought the recipient into a group
	NotStated Basis = "not_stated" // any of the patients of the recipient
	NoPatient Basis = "no_patient" // the recipient had no link in force
)

// missing is the basis, as programs read it, if what the directory said then is lost or damaged.
const missing = "missing"

// Known returns the basis as programs read it: "missing" for the zero value, which is that of a delivery
// of which it can't be said because what the directory said then is lost or damaged.
func (b Basis) Known() string {
	if b == "" {
		return missing
	}
	return string(b)
}

// A Matter is whose matter a message to one recipient is.
type Matter struct {
	Basis Basis
	// Patients has a link to each patient, as it was when the audience was frozen. A patient with two
	// relationships is listed twice. If the link to a picked patient was not in force then, only
	// the id is set.
	Patients []rule.Tie
}

// Concerns reports whether the delivery concerns a patient, or may.
func (m Matter) Concerns(patient string) bool {
	return slices.ContainsFunc(m.Patients, func(t rule.Tie) bool { return t.ID == patient })
}

// Ended reports whether the links to all picked patients had ended when the audience was frozen, so that
// the recipient can't read the message unless one of the links is in force again.
func (m Matter) Ended() bool {
	return m.Basis == Picked && !slices.ContainsFunc(m.Patients, func(t rule.Tie) bool { return t.Relationship != "" })
}

// IDs returns the ids of the patients, each once, in order.
func (m Matter) IDs() []string {
	ids := []string{}
	for _, t := range m.Patients {
		if !slices.Contains(ids, t.ID) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// Statement is what a message.sent states.
type Statement struct {
	// States is false for an event that states nothing, which is of a version before 4.
	States bool
	// About has the ids of the patients who were picked for each chosen portal user.
	About  map[string][]string
	Groups rule.Set
}

// OfPerson returns whose matter the message to a person is. The person is as the cited roster has
// them, and day is that of the delivery, as field.Day counts it.
func (s Statement) OfPerson(p *roster.Person, day int32) Matter {
	inForce := rule.InForce(p, day)
	if m, found := s.picked(p.ID, inForce); found {
		return m
	}
	if in, _ := s.Groups.Why(p, day); s.States && in != "" {
		if because := s.Groups.Because(p, day); len(because) > 0 {
			return Matter{ByGroup, because}
		}
	}
	return notStated(inForce)
}

// OfChosen is [Statement.OfPerson] for a delivery to a chosen portal user, whose event has the links
// that were in force.
func (s Statement) OfChosen(portalUser string, inForce []rule.Tie) Matter {
	if m, found := s.picked(portalUser, inForce); found {
		return m
	}
	return notStated(inForce)
}

// picked returns the picked patients of a portal user, with their links.
func (s Statement) picked(portalUser string, inForce []rule.Tie) (m Matter, found bool) {
	ids := s.About[portalUser]
	if !s.States || len(ids) == 0 {
		return Matter{}, false
	}
	m.Basis = Picked
	for _, id := range ids {
		before := len(m.Patients)
		for _, t := range inForce {
			if t.ID == id {
				m.Patients = append(m.Patients, t)
			}
		}
		if len(m.Patients) == before {
			m.Patients = append(m.Patients, rule.Tie{ID: id})
		}
	}
	return m, true
}

func notStated(inForce []rule.Tie) Matter {
	if len(inForce) == 0 {
		return Matter{Basis: NoPatient}
	}
	return Matter{NotStated, inForce}
}
