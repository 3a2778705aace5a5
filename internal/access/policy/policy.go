// Package policy states who may do what: permissions, actions, and the one table of which
// permission each action needs. It does no I/O.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/events"
	"postern/internal/problem"
)

// A Permission is a right that an administrator gives to a staff member.
type Permission string

// The permissions.
const (
	SendPortalMessage     Permission = "send_portal_message"
	SendBulkPortalMessage Permission = "send_bulk_portal_message"
	ReplayDeliveries      Permission = "replay_deliveries"
	ReadRecord            Permission = "read_record"
	ManageStaff           Permission = "manage_staff"
	ManageLabels          Permission = "manage_labels"
	ImportDirectory       Permission = "import_directory"
)

// All is every permission there is.
var All = []Permission{
	SendPortalMessage, SendBulkPortalMessage, ReplayDeliveries, ReadRecord, ManageStaff, ManageLabels, ImportDirectory,
}

// ParsePermission reads the name of a permission. Its error lists them all.
func ParsePermission(s string) (Permission, error) {
	if p := Permission(s); slices.Contains(All, p) {
		return p, nil
	}
	names := make([]string, len(All))
	for i, p := range All {
		names[i] = string(p)
	}
	return "", fmt.Errorf("%q is not a permission; there are %s", s, strings.Join(names, ", "))
}

// A Realm is one of the two kinds of people who sign in. Its value is also how
// an event's actor begins.
type Realm string

// The realms.
const (
	RealmStaff      Realm = "staff"
	RealmPortalUser Realm = "portal_user"
)

// A Subject is somebody who has shown who they are. The zero Subject is nobody.
type Subject struct {
	Realm       Realm
	ID          string       // staff id or portal user id
	No          int32        // portal user number; 0 for staff
	Name        string       // as the people who use Postern see it
	Permissions []Permission // staff only
	// Method is how they signed in; "" with an API token.
	Method Method
	// FactorDue: the clinic asks for a second factor, and they have none. Until they
	// have set one up they may do nothing else.
	FactorDue bool
}

// A Method is how somebody signed in, as the record has it.
type Method = events.SignInMethod

// ByOrganisation is signing in at the clinic's own identity provider.
const ByOrganisation = events.ByOrganisation

// Actor is how events name the subject: "staff:<id>" or "portal_user:<id>".
func (s Subject) Actor() string { return string(s.Realm) + ":" + s.ID }

// An Action is something that a subject asks for.
type Action string

// What staff ask for.
const (
	// SendMessage is all that goes with sending to particular portal users:
	// searching for them, uploading, previewing, sending, cancelling, recalling. Who
	// may send to everybody may send to one.
	SendMessage Action = "send_message"
	// SendToGroup is previewing or sending to a group, whatever else is chosen.
	SendToGroup Action = "send_to_group"
	// SecureAccount is looking after how one signs in oneself.
	SecureAccount Action = "secure_account"
	// SeeMessages is reading what was sent and what became of it.
	SeeMessages Action = "see_messages"
	// SeeBcc is reading the messages that name oneself as Staff Bcc.
	SeeBcc Action = "see_bcc"
	// Search is Global Search. What it finds depends on the other actions.
	Search Action = "search"
	// SeeLabels is reading how the clinic names things.
	SeeLabels Action = "see_labels"
	// ChangeLabels is Custom Labels.
	ChangeLabels Action = "change_labels"
	// SeeStaff is reading the names of staff, as for choosing a Staff Bcc.
	SeeStaff Action = "see_staff"
	// ChangeStaff is reading and changing the permissions of staff.
	ChangeStaff Action = "change_staff"
	// Replay is planning, starting, watching and cancelling replays.
	Replay Action = "replay"
	// SettleParked is reading, retrying and discarding parked events.
	SettleParked Action = "settle_parked"
	// ReadTheRecord is reading events, checkpoints and receipts.
	ReadTheRecord Action = "read_the_record"
	// EraseContent is asking for the content of a message to be destroyed, and agreeing
	// to what another asked for.
	EraseContent Action = "erase_content"
	// Invite is sending a portal user a link to set a password.
	Invite Action = "invite"
	// SeeDirectory is looking through patients, portal users and their links.
	SeeDirectory Action = "see_directory"
	// Import is importing the directory.
	Import Action = "import"
)

// What portal users ask for.
const (
	// ReadInbox is reading one's own messages and their attachments.
	ReadInbox Action = "read_inbox"
)

// A rule says who may do an action: a subject of the realm who holds one of the
// permissions, or anybody of the realm where none is named.
type rule struct {
	realm Realm
	needs []Permission
}

// rules is the whole policy. An action without a row is refused.
var rules = map[Action]rule{
	SendMessage:   {RealmStaff, []Permission{SendPortalMessage, SendBulkPortalMessage}},
	SendToGroup:   {RealmStaff, []Permission{SendBulkPortalMessage}},
	SecureAccount: {RealmStaff, nil},
	SeeMessages:   {RealmStaff, []Permission{SendPortalMessage, SendBulkPortalMessage}},
	SeeBcc:        {RealmStaff, nil},
	Search:        {RealmStaff, nil},
	SeeLabels:     {RealmStaff, nil},
	ChangeLabels:  {RealmStaff, []Permission{ManageLabels}},
	SeeStaff:      {RealmStaff, nil},
	ChangeStaff:   {RealmStaff, []Permission{ManageStaff}},
	Replay:        {RealmStaff, []Permission{ReplayDeliveries}},
	SettleParked:  {RealmStaff, []Permission{ReplayDeliveries}},
	ReadTheRecord: {RealmStaff, []Permission{ReadRecord}},
	EraseContent:  {RealmStaff, []Permission{ManageStaff}},
	SeeDirectory:  {RealmStaff, []Permission{ImportDirectory}},
	Import:        {RealmStaff, []Permission{ImportDirectory}},
	Invite:        {RealmStaff, []Permission{ImportDirectory}},
	ReadInbox:     {RealmPortalUser, nil},
}

// ActionsOf lists the actions of a realm, in no particular order.
func ActionsOf(realm Realm) (all []Action) {
	for action, rule := range rules {
		if rule.realm == realm {
			all = append(all, action)
		}
	}
	return all
}

// ErrUnauthenticated says that nobody has shown who they are.
var ErrUnauthenticated = problem.Unauthenticated.New("nobody is signed in: sign in and try again")

// ErrFactorDue says that the clinic asks for a second factor and the subject has none.
var ErrFactorDue = problem.SecondFactorDue.New("your clinic asks for a second factor: set one up under Account first")

// ErrForbidden is what every [Forbidden] is.
var ErrForbidden = errors.New("forbidden")

// Forbidden says which permission an action lacked; "" where no permission
// would help.
type Forbidden struct {
	Action  Action
	Missing Permission
}

func (f Forbidden) Error() string {
	if f.Missing == "" {
		return fmt.Sprintf("%s is not for this kind of account", f.Action)
	}
	return fmt.Sprintf("%s needs the permission %s: ask an administrator for it", f.Action, f.Missing)
}

// Problem is how what was asked is answered.
func (f Forbidden) Problem() *problem.Error { return problem.Forbidden.Problem(f.Error()) }

// Is makes every Forbidden an [ErrForbidden].
func (Forbidden) Is(target error) bool { return target == ErrForbidden }

// Allow returns nil if subject may do action, [ErrUnauthenticated] for nobody,
// [ErrFactorDue] for who has to set up a second factor first, or else a [Forbidden]
// with the least permission that would do.
func Allow(subject Subject, action Action) error {
	if subject.Realm == "" {
		return ErrUnauthenticated
	}
	rule, known := rules[action]
	if !known || rule.realm != subject.Realm {
		return Forbidden{Action: action}
	}
	if subject.FactorDue && action != SecureAccount {
		return ErrFactorDue
	}
	for _, p := range rule.needs {
		if slices.Contains(subject.Permissions, p) {
			return nil
		}
	}
	if len(rule.needs) == 0 {
		return nil
	}
	return Forbidden{Action: action, Missing: rule.needs[0]}
}
