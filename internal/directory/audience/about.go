package audience

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"postern/internal/directory"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/field"
	"postern/internal/directory/people"
	"postern/internal/directory/roster"
)

// About says which patients the message to a portal user who is chosen by id concerns.
type About struct {
	PortalUserID string
	PatientIDs   []string
}

// picks are the picked patients by the id of the portal user.
type picks map[string][]string

func (s Selection) picks() picks {
	of := make(picks, len(s.About))
	for _, a := range s.About {
		of[a.PortalUserID] = a.PatientIDs
	}
	return of
}

// Picked returns the patients that were picked for a portal user.
func (s Selection) Picked(portalUser string) []string { return s.picks()[portalUser] }

// Picks reports whether a patient was picked for any portal user.
func (s Selection) Picks() bool {
	return slices.ContainsFunc(s.About, func(a About) bool { return len(a.PatientIDs) > 0 })
}

// With returns the selection with other patients for one portal user; none: no longer picked.
func (s Selection) With(portalUser string, patients []string) Selection {
	s.About = slices.DeleteFunc(slices.Clone(s.About), func(a About) bool { return a.PortalUserID == portalUser })
	if len(patients) > 0 {
		s.About = append(s.About, About{portalUser, patients})
	}
	return s
}

// A Link is a portal user and a patient to whom they are not linked.
type Link struct{ PortalUserID, PatientID string }

// Matters says whom a message to chosen portal users concerns; see package matter.
type Matters struct {
	// Of has the patients of each chosen portal user for whom it is known: those who were picked, or
	// the only one to whom the portal user is linked.
	Of map[string][]string
	// Unclear are the chosen portal users who are linked to several patients, of whom none was picked.
	Unclear []string
	// NotLinked are the picks of patients to whom the portal user has no link in force.
	NotLinked []Link
}

// Resolve says whom a message that is sent on the calendar day of on concerns. Errors may wrap
// [UnknownPortalUsers].
func Resolve(ctx context.Context, q directory.Querier, sel Selection, on time.Time) (Matters, error) {
	nos, unknown, err := directory.LookUp(ctx, q, sel.PortalUserIDs)
	if err == nil && len(unknown) > 0 {
		err = &UnknownPortalUsers{IDs: unknown}
	}
	if err != nil {
		return Matters{}, err
	}
	m := Matters{Of: map[string][]string{}}
	if len(nos) == 0 {
		return m, nil
	}
	day, of := field.Day(on), sel.picks()
	err = people.Numbered(ctx, q, nos, func(p *roster.Person) bool {
		linked := patientsOf(p, day)
		for _, id := range of[p.ID] {
			if !slices.Contains(linked, id) {
				m.NotLinked = append(m.NotLinked, Link{p.ID, id})
			}
		}
		switch about := of.about(p, day); {
		case len(about) > 0:
			m.Of[p.ID] = about
		case len(linked) > 1:
			m.Unclear = append(m.Unclear, p.ID)
		}
		return true
	})
	if err != nil {
		return Matters{}, fmt.Errorf("reading the patients of the recipients: %w", err)
	}
	return m, nil
}

// patientsOf returns the patients to whom a person has a link in force, each once.
func patientsOf(p *roster.Person, day int32) []string {
	var ids []string
	for _, t := range rule.InForce(p, day) {
		if !slices.Contains(ids, t.ID) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// about returns the patients whom the message to a chosen person concerns: those who were picked, or
// the only one; nil if that is not known.
func (of picks) about(p *roster.Person, day int32) []string {
	if picked := of[p.ID]; len(picked) > 0 {
		return picked
	}
	if linked := patientsOf(p, day); len(linked) == 1 {
		return linked
	}
	return nil
}

// abouts returns the patients whom the message to each chosen portal user concerns, by number, where
// that is known. They are read from the tables, because a roster that decides who is in a group has
// no ids.
func (s *selected) abouts(ctx context.Context, q directory.Querier, sel Selection) (map[int32][]string, error) {
	if len(s.added) == 0 {
		return nil, nil
	}
	all, of := make(map[int32][]string, len(s.added)), sel.picks()
	err := people.Numbered(ctx, q, s.added, func(p *roster.Person) bool {
		all[p.No] = of.about(p, s.day)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading the patients of the recipients: %w", err)
	}
	return all, nil
}

// concerns adds to the digest whom the message to a chosen portal user concerns.
func (d *digester) concerns(no int32, patients []string) {
	if len(patients) == 0 {
		return
	}
	d.about = binary.BigEndian.AppendUint32(d.about, uint32(no)) // #nosec G115 -- a number is not negative
	for _, id := range slices.Sorted(slices.Values(patients)) {
		d.about = append(append(d.about, byte(len(id))), id...) // #nosec G115 -- 64 at most
	}
	d.about = append(d.about, 0)
}
