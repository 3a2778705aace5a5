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
	l, err := p.kit.Labels.Current(r.Context())
	if err != nil {
		return nil, err
	}
	return vocabularyIn(l), nil
}

func vocabularyIn(l labels.Labels) vocabulary {
	users, patients := page.Lower(l.PortalUser.Many), page.Lower(l.Patient.Many)
	return vocabulary{
		{policy.SendPortalMessage, page.PermissionName(policy.SendPortalMessage),
			"Send messages to chosen " + users + ", follow their progress, and cancel or recall them."},
		{policy.SendBulkPortalMessage, page.PermissionName(policy.SendBulkPortalMessage),
			"Everything that Send Portal Message allows, and also send to whole groups: “" + l.Group("active_patients") + "”, “" +
				l.Group("discharged_patients") + "” and “" + l.Group("all_portal_users") + "”."},
		{policy.ReplayDeliveries, page.PermissionName(policy.ReplayDeliveries),
			"Plan, run and follow replays of failed alerts, and retry or discard parked events."},
		{policy.ReadRecord, page.PermissionName(policy.ReadRecord),
			"Read all events about sent and received messages and about changes, and issue receipts. It does not show the text of messages."},
		{policy.ManageStaff, page.PermissionName(policy.ManageStaff),
			"Add staff, set their permissions, and disable accounts."},
		{policy.ManageLabels, page.PermissionName(policy.ManageLabels),
			"Rename " + patients + ", " + users + " and other people on all pages, for all users."},
		{policy.ImportDirectory, page.PermissionName(policy.ImportDirectory),
			"See " + patients + ", " + users + " and the links between them, and import them from files."},
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
