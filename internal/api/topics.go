package api

import "strings"

// topic is a group of operations in the description, by the beginning of their path.
type topic struct {
	prefix, name string
	one          string // what {id} in the path is the id of
}

// topics are in the order in which the description lists them. The longest prefix decides.
var topics = []topic{
	{"/v1/messages", "Messages", "message"},
	{"/v1/attachments", "Messages", "document"},
	{"/v1/bcc", "Messages", "message"},
	{"/v1/worklists", "Messages", ""},
	{"/v1/notices", "Messages", "message"},
	{"/v1/wordings", "Messages", "wording"},
	{"/v1/drafts", "Messages", ""},
	{"/v1/recipients", "Recipients", ""},
	{"/v1/patients", "Recipients", "patient"},
	{"/v1/portal-users", "Recipients", "portal user"},
	{"/v1/portal", "Portal", ""},
	{"/v1/portal/messages", "Portal", "message"},
	{"/v1/portal/sessions", "Portal", "session"},
	{"/v1/replays", "Replays", "replay"},
	{"/v1/alerting", "Operations", ""},
	{"/v1/operations", "Operations", ""},
	{"/v1/parked", "Operations", "parked event"},
	{"/v1/record", "Record", ""},
	{"/v1/record/exports", "Record", "export"},
	{"/v1/erasures", "Erasures", "request"},
	{"/v1/emergency", "Emergency access", "opening"},
	{"/v1/staff", "Staff", "staff member"},
	{"/v1/grants", "Staff", "request"},
	{"/v1/invitations", "Invitations", "run of invitations"},
	{"/v1/labels", "Settings and search", ""},
	{"/v1/clinic", "Settings and search", ""},
	{"/v1/search", "Settings and search", ""},
	{"/v1/session", "Sign in", ""},
	{"/v1/sessions", "Sign in", "session"},
	{"/v1/tokens", "API tokens", "API token"},
	{"/webhooks", "Webhooks", ""},
}

// topicDocs describes the groups of operations.
var topicDocs = map[string]string{ // #nosec G101 -- sentences
	"Messages":            "Upload documents, send messages, follow, cancel and recall them.",
	"Recipients":          "Find portal users and patients, and count the recipients of a message before it is sent.",
	"Portal":              "What a portal user does: sign in, read messages, download documents.",
	"Replays":             "Send alerts again that failed, after a plan.",
	"Operations":          "The state of the system, pauses of alerts, and events that no worker could handle.",
	"Record":              "The append-only record of all events, its exports and its proof.",
	"Erasures":            "Erase the content of a message. It takes two people.",
	"Emergency access":    "Read content in an emergency. Each reading is recorded and reviewed.",
	"Staff":               "Staff accounts and their permissions.",
	"Invitations":         "Invite portal users to choose a first password.",
	"Settings and search": "The clinic's details and its own words, and Global Search.",
	"Sign in":             "Sessions of staff.",
	"API tokens":          "Tokens with which programs sign in.",
	"Webhooks":            "Reports that SendGrid sends.",
}

// topicOf returns the topic of a path, or false if none has it.
func topicOf(path string) (found topic, ok bool) {
	for _, t := range topics {
		if len(t.prefix) >= len(found.prefix) && (path == t.prefix || strings.HasPrefix(path, t.prefix+"/") || strings.HasPrefix(path, t.prefix+".")) {
			found, ok = t, true
		}
	}
	return found, ok
}
