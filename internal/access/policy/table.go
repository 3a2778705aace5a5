package policy

import "postern/internal/text/language"

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
	PublishSavedWordings  Permission = "publish_wordings"
	ManageLabels          Permission = "manage_labels"
	ManageClinic          Permission = "manage_clinic"
	ImportDirectory       Permission = "import_directory"
	EmergencyAccess       Permission = "emergency_access"
)

// An Action is an operation that needs authorisation.
type Action string

// The actions of staff.
const (
	// SendMessage is every step of sending to particular portal users: searching for them,
	// uploading, previewing, sending, cancelling, recalling. Staff who may send to all
	// portal users may also send to one.
	SendMessage Action = "send_message"
	// SendToGroup is previewing or sending to a group, whatever else is chosen.
	SendToGroup Action = "send_to_group"
	// SecureAccount is managing one's own sign-in: password, second factor, sessions.
	SecureAccount Action = "secure_account"
	// MakeTokens is making and revoking one's own API tokens.
	MakeTokens Action = "make_tokens"
	// SeeAccess is listing one's own sessions and API tokens.
	SeeAccess Action = "see_access"
	// SeeMessages is reading sent messages and their delivery status.
	SeeMessages Action = "see_messages"
	// PublishWordings is making a saved wording the clinic's, and changing those that are.
	PublishWordings Action = "publish_wordings"
	// SeeBcc is reading the messages on which one is a Staff Bcc.
	SeeBcc Action = "see_bcc"
	// Search is Global Search. Its results depend on the other actions.
	Search Action = "search"
	// SeeLabels is reading the clinic's labels.
	SeeLabels Action = "see_labels"
	// ChangeLabels is Custom Labels.
	ChangeLabels Action = "change_labels"
	// ChangeClinic is changing what the portal shows of the clinic.
	ChangeClinic Action = "change_clinic"
	// SeeStaff is reading the names of staff, as for choosing a Staff Bcc.
	SeeStaff Action = "see_staff"
	// ChangeStaff is adding staff, and reading and changing their accounts and permissions.
	ChangeStaff Action = "change_staff"
	// ApproveGrant is approving a permission that another administrator requested.
	ApproveGrant Action = "approve_grant"
	// Replay is planning, starting, watching and cancelling replays.
	Replay Action = "replay"
	// SettleParked is reading, retrying and discarding parked events.
	SettleParked Action = "settle_parked"
	// ReadTheRecord is reading events, checkpoints and receipts.
	ReadTheRecord Action = "read_the_record"
	// EraseContent is requesting that the content of a message be destroyed, and
	// declining what another staff member requested.
	EraseContent Action = "erase_content"
	// ApproveErasure is approving an erasure that another staff member requested.
	ApproveErasure Action = "approve_erasure"
	// OpenEmergency is opening emergency access with a typed reason, and reading by it.
	OpenEmergency Action = "open_emergency"
	// SeeEmergencies is listing emergency access: one's own, or of all for readers of the record.
	SeeEmergencies Action = "see_emergencies"
	// ReviewEmergency is reviewing emergency access of others, and ending it.
	ReviewEmergency Action = "review_emergency"
	// Invite is sending a portal user a link to set a password.
	Invite Action = "invite"
	// MakeLetters is making letters with a user name and a code to set a password with. Who makes
	// one can read the code.
	MakeLetters Action = "make_letters"
	// SeeDirectory is looking through patients, portal users and their links.
	SeeDirectory Action = "see_directory"
	// Import is importing the directory.
	Import Action = "import"
)

// The actions of portal users.
const (
	// ReadInbox is reading one's own messages and their attachments.
	ReadInbox Action = "read_inbox"
)

// A Grant is a row of the table of permissions.
type Grant struct {
	Permission Permission
	// Name is the name on pages: "Send Bulk Portal Message".
	Name string
	// Allows is one sentence about what the permission allows. Words in braces stand
	// for the clinic's labels: see labels.Labels.Fill.
	Allows string
	// Caution is what an administrator should know before giving the permission, or "".
	Caution string
	// TwoPeople is set if an administrator alone can't give the permission: another one
	// approves it. See package twopeople.
	TwoPeople bool
	// Actions are what the permission allows. Another permission may allow them too.
	Actions []Action
}

// Grants is the table of permissions, in the order of the pages. Of two permissions that
// allow the same action, the lower comes first: [Forbidden] names that one.
var Grants = []Grant{
	{SendPortalMessage, "Send Portal Message",
		language.Mark("Send messages to chosen {portal users}, follow their progress, cancel or recall them, and see when anyone sent a {portal user} a message and whether it was opened, without its content."), "", false,
		[]Action{SendMessage, SeeMessages}},
	{SendBulkPortalMessage, "Send Bulk Portal Message",
		language.Mark("Everything that Send Portal Message allows, and also send to whole groups: “{active_patients}”, “{discharged_patients}” and “{all_portal_users}”."), "", false,
		[]Action{SendMessage, SeeMessages, SendToGroup}},
	{PublishSavedWordings, "Publish Saved Wordings",
		language.Mark("Make saved wordings the clinic’s, so that all staff who send can use them, and change those that are."), "", false,
		[]Action{PublishWordings}},
	{ReplayDeliveries, "Replay Failed Deliveries",
		language.Mark("Plan, run and follow replays of failed alerts, and retry or discard parked events."), "", false,
		[]Action{Replay, SettleParked}},
	{ReadRecord, "Read the Record",
		language.Mark("Read all events about sent and received messages and about changes, find people by name, and issue receipts. It does not show the text of messages."), "", true,
		[]Action{ReadTheRecord, SeeEmergencies, ReviewEmergency}},
	{ManageStaff, "Manage Staff",
		language.Mark("Add staff, change their names and e-mail addresses, send them links to set a password, set their permissions, and disable accounts."), "", false,
		[]Action{ChangeStaff, ApproveGrant}},
	{EraseMessageContent, "Erase Content",
		language.Mark("Request that the content of a message be erased, and approve what another staff member requested."),
		language.Mark("Erased content can’t be restored. Two staff members with this permission are needed for each erasure."), true,
		[]Action{EraseContent, ApproveErasure}},
	{ManageLabels, "Manage Custom Labels",
		language.Mark("Rename {patients}, {portal users} and other people on all pages, for all users."), "", false,
		[]Action{ChangeLabels}},
	{ManageClinic, "Manage Clinic Details",
		language.Mark("Change the clinic’s name, logo, address, opening hours, colour and page of help, as {portal users} see them."), "", false,
		[]Action{ChangeClinic}},
	{ImportDirectory, "Import the Directory",
		language.Mark("See {patients}, {portal users} and the links between them, and import them from files. Invite {portal users}, and make letters with a code for those without an e-mail address."), "", false,
		[]Action{SeeDirectory, Import, Invite, MakeLetters}},
	{EmergencyAccess, "Emergency Access",
		language.Mark("In an emergency, read the content of one message or the disclosures of one {patient} for an hour, with a typed reason."),
		language.Mark("Each use is recorded before anything is shown, and another staff member reviews it."), true,
		[]Action{SeeEmergencies, OpenEmergency}},
}

// open lists the actions that need no permission: every subject of the realm may do them.
var open = map[Realm][]Action{
	RealmStaff:      {SecureAccount, MakeTokens, SeeAccess, SeeBcc, Search, SeeLabels, SeeStaff},
	RealmPortalUser: {ReadInbox},
}

// bySession lists the actions that need a session. An API token, whatever it permits, makes no
// other token and changes nothing about how its owner signs in: a stolen token ends with its
// expiry or its revocation. It makes no letters either, whose codes set the passwords of others. It approves nothing either: a token that its owner gave to a program
// is no second person. By emergency access a person reads, and a person reviews.
var bySession = []Action{SecureAccount, MakeTokens, MakeLetters, ApproveGrant, ApproveErasure, OpenEmergency, ReviewEmergency}
