package compose

import (
	"context"
	"fmt"
	"slices"

	"postern/internal/directory/audience"
)

// mostMatterFaults is how many wrong picks, and how many missing ones, an error names.
const mostMatterFaults = 100

// checkMatters returns the patients whom the message to each chosen portal user concerns, where that
// is known. It refuses unknown portal users, picks of patients to whom the portal user is not linked
// today and, with MustPick, missing picks.
func (c *Composer) checkMatters(ctx context.Context, r Request) (map[string][]string, error) {
	found, err := audience.Resolve(ctx, c.pool, r.Recipients, c.cfg.Facts.Now())
	if err != nil {
		return nil, namePortalUsers(err, r.Recipients)
	}
	var f faults
	for _, wrong := range found.NotLinked[:min(len(found.NotLinked), mostMatterFaults)] {
		i := slices.IndexFunc(r.Recipients.About, func(a audience.About) bool { return a.PortalUserID == wrong.PortalUserID })
		n := slices.Index(r.Recipients.About[i].PatientIDs, wrong.PatientID)
		f.add(fmt.Sprintf("%s.patient_ids[%d]", aboutAt(i), n), "portal user %s is not linked to patient %s today: pick one of their present patients",
			wrong.PortalUserID, wrong.PatientID)
	}
	if r.MustPick {
		for _, id := range found.Unclear[:min(len(found.Unclear), mostMatterFaults)] {
			f.add("body.recipients.about", "portal user %s is linked to several patients: pick those whom the message concerns", id)
		}
	}
	return found.Of, f.err()
}
