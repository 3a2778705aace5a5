package policy

import "slices"

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
	// EraseContent is requesting that the content of a message be destroyed, and
	// approving what another staff member requested.
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

// open lists the actions that need no permission: everyone of the realm may do them.
var open = map[Realm][]Action{
	RealmStaff:      {SecureAccount, SeeBcc, Search, SeeLabels, SeeStaff},
	RealmPortalUser: {ReadInbox},
}

// A rule says who may do an action: a subject of the realm who holds one of the
// permissions, or everyone of the realm where none is named.
type rule struct {
	realm Realm
	needs []Permission // the least of them first
}

// rules is the table of permissions turned round, with what is open. An action
// without a rule is refused.
var rules = func() map[Action]rule {
	all := map[Action]rule{}
	for realm, actions := range open {
		for _, action := range actions {
			all[action] = rule{realm: realm}
		}
	}
	for _, grant := range Grants {
		for _, action := range grant.Actions {
			all[action] = rule{RealmStaff, append(all[action].needs, grant.Permission)}
		}
	}
	return all
}()

// ActionsOf lists the actions of a realm, in no particular order.
func ActionsOf(realm Realm) (all []Action) {
	for action, rule := range rules {
		if rule.realm == realm {
			all = append(all, action)
		}
	}
	return all
}

// Needs lists the permissions each of which allows one of the actions, in the order of
// [Grants]. It is empty where one of the actions needs none.
func Needs(actions ...Action) (needs []Permission) {
	for _, grant := range Grants {
		for _, action := range actions {
			if len(rules[action].needs) == 0 {
				return nil
			}
			if slices.Contains(grant.Actions, action) {
				needs = append(needs, grant.Permission)
				break
			}
		}
	}
	return needs
}
