package admin

import (
	"net/http"
	"slices"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/web/page"
)

// permission is one as people read it.
type permission struct {
	policy.Permission
	Name string
	Hint string // what it allows
}

// vocabulary is every permission in the clinic's words, in the order in which a
// page has them.
type vocabulary []permission

// words reads the labels and gives the permissions in them.
func (p *Pages) words(r *http.Request) (vocabulary, error) {
	l, err := p.Labels.Current(r.Context())
	if err != nil {
		return nil, err
	}
	return vocabularyIn(l), nil
}

func vocabularyIn(l labels.Labels) vocabulary {
	users, patients := page.Lower(l.PortalUser.Many), page.Lower(l.Patient.Many)
	return vocabulary{
		{policy.SendPortalMessage, page.PermissionName(policy.SendPortalMessage),
			"Write to particular " + users + ", follow the messages, and cancel or recall them."},
		{policy.SendBulkPortalMessage, page.PermissionName(policy.SendBulkPortalMessage),
			"All that Send Portal Message allows, and choose whole groups, as “" + l.Group("active_patients") + "”, “" +
				l.Group("discharged_patients") + "” and “" + l.Group("all_portal_users") + "”."},
		{policy.ReplayDeliveries, page.PermissionName(policy.ReplayDeliveries),
			"Plan, run and watch replays of alerts that failed, and settle parked events."},
		{policy.ReadRecord, page.PermissionName(policy.ReadRecord),
			"Read every event of what was sent, received and changed, and issue receipts. Not what messages say."},
		{policy.ManageStaff, page.PermissionName(policy.ManageStaff),
			"Add staff and say what they may do, on pages such as this one."},
		{policy.ManageLabels, page.PermissionName(policy.ManageLabels),
			"Rename " + patients + ", " + users + " and the like, everywhere and for everybody."},
		{policy.ImportDirectory, page.PermissionName(policy.ImportDirectory),
			"See " + patients + ", " + users + " and who is linked to whom, and import them from files."},
	}
}

// of gives those that are held, in the order of the vocabulary.
func (v vocabulary) of(held []policy.Permission) []permission {
	return slices.DeleteFunc(slices.Clone(v), func(p permission) bool { return !slices.Contains(held, p.Permission) })
}

// names puts the names of permissions in a row: "Read the Record, Manage Staff".
func (v vocabulary) names(held []policy.Permission) string {
	var names []string
	for _, p := range v.of(held) {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}
