package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A Permission is a right that an administrator gives to a staff member. Its value is
// what events, the API and the command line carry.
type Permission string

// The permissions.
const (
	SendPortalMessage     Permission = "send_portal_message"
	SendBulkPortalMessage Permission = "send_bulk_portal_message"
	ReplayDeliveries      Permission = "replay_deliveries"
	ReadRecord            Permission = "read_record"
	ManageStaff           Permission = "manage_staff"
	EraseMessageContent   Permission = "erase_content"
	ManageLabels          Permission = "manage_labels"
	ImportDirectory       Permission = "import_directory"
)

// A Grant is a row of the table of permissions.
type Grant struct {
	Permission Permission
	// Name is what people read: "Send Bulk Portal Message".
	Name string
	// Allows is one sentence about what the permission allows. Words in braces stand
	// for the clinic's labels: see labels.Labels.Fill.
	Allows string
	// Caution is what an administrator should know before giving the permission, or "".
	Caution string
	// Actions are what the permission allows. Another permission may allow them too.
	Actions []Action
}

// Grants is the table of permissions, in the order in which people read them. Of two that
// allow the same action the lesser comes first: that is the one which [Forbidden] names.
var Grants = []Grant{
	{SendPortalMessage, "Send Portal Message",
		"Write to particular {portal users}, follow the messages, and cancel or recall them.", "",
		[]Action{SendMessage, SeeMessages}},
	{SendBulkPortalMessage, "Send Bulk Portal Message",
		"All that Send Portal Message allows, and choose whole groups: “{active_patients}”, “{discharged_patients}” and “{all_portal_users}”.", "",
		[]Action{SendMessage, SeeMessages, SendToGroup}},
	{ReplayDeliveries, "Replay Failed Deliveries",
		"Plan, run and watch replays of alerts that failed, and settle parked events.", "",
		[]Action{Replay, SettleParked}},
	{ReadRecord, "Read the Record",
		"Read every event of what was sent, received and changed, and issue receipts. Not what messages say.", "",
		[]Action{ReadTheRecord}},
	{ManageStaff, "Manage Staff",
		"Add staff and say what they may do, on pages such as this one.", "",
		[]Action{ChangeStaff}},
	{EraseMessageContent, "Erase Content",
		"Request that the content of a message be erased, and approve what another staff member requested.",
		"Erased content can’t be restored. Two staff members with this permission are needed for each erasure.",
		[]Action{EraseContent}},
	{ManageLabels, "Manage Custom Labels",
		"Rename {patients}, {portal users} and the like, everywhere and for everyone.", "",
		[]Action{ChangeLabels}},
	{ImportDirectory, "Import the Directory",
		"See {patients}, {portal users} and who is linked to whom, and import them from files.", "",
		[]Action{SeeDirectory, Import, Invite}},
}

// All is every permission there is, in the order of [Grants].
var All = func() (all []Permission) {
	for _, grant := range Grants {
		all = append(all, grant.Permission)
	}
	return all
}()

// Name is what people read of the permission, or its value where it is not in the table.
func (p Permission) Name() string {
	for _, grant := range Grants {
		if grant.Permission == p {
			return grant.Name
		}
	}
	return string(p)
}

// Names gives the names of permissions, in the order of the table.
func Names(permissions []Permission) (names []string) {
	for _, grant := range Grants {
		if slices.Contains(permissions, grant.Permission) {
			names = append(names, grant.Name)
		}
	}
	return names
}

// ParsePermission reads the value of a permission. Its error lists all of them.
func ParsePermission(s string) (Permission, error) {
	if p := Permission(s); slices.Contains(All, p) {
		return p, nil
	}
	return "", fmt.Errorf("%q is not a permission; the permissions are %s", s, Join(All))
}

// Join lists permissions by their values: "read_record, manage_staff".
func Join(permissions []Permission) string {
	values := make([]string, len(permissions))
	for i, p := range permissions {
		values[i] = string(p)
	}
	return strings.Join(values, ", ")
}
