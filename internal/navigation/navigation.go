// Package navigation lists the pages that people can go to from any other page. The
// menus, the first page after signing in and Global Search are made from the one list.
//
// To add a page to the menus, add its row to destinations. A test of package web checks
// that readers who see a row can open its page.
package navigation

import (
	"slices"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/text/language"
)

// A Section is an item of the main menu. Its value is the Section of a page's view.
type Section string

// The sections.
const (
	Messages       Section = "messages"
	Compose        Section = "compose"
	Notices        Section = "notices"
	Record         Section = "record"
	Operations     Section = "operations"
	Administration Section = "administration"
	Account        Section = "account"
)

// sections are the items of the main menu, in order. An item that opens has a menu of
// its destinations; any other links to the first destination that the reader may see.
var sections = []struct {
	section Section
	text    string
	opens   bool
}{
	{Messages, "Messages", false},
	{Compose, "Compose", true},
	{Notices, "Notices", false},
	{Record, "Record", false},
	{Operations, "Operations", false},
	{Administration, "Administration", false},
	{Account, "Account", false},
}

// A Destination is a page in a menu. Texts have labels in braces: see [labels.Labels.Fill].
type Destination struct {
	Section Section
	Text    string // in the menu
	Href    string
	// Title is its name in Global Search; "" means Text.
	Title string
	// Keywords are words besides the title by which Global Search finds it.
	Keywords string
	// Setting is true if the page changes a setting.
	Setting bool
	// Actions lists the actions of which the reader must be allowed at least one.
	Actions []policy.Action
}

func may(actions ...policy.Action) []policy.Action { return actions }

// destinations are all pages in the menus, in the order of Global Search's results. A
// page in the menus of two sections has a row for each.
var destinations = []Destination{
	{Section: Compose, Text: "{Patient} Portal Message", Href: "/messages/compose",
		Title: "Compose: {Patient} Portal Message", Keywords: "new send write message", Actions: may(policy.SendMessage)},

	{Section: Messages, Text: "Messages", Href: "/messages", Keywords: "sent progress", Actions: may(policy.SeeMessages, policy.ReadTheRecord)},
	{Section: Messages, Text: "Drafts", Href: "/messages/drafts", Keywords: "messages unsent saved", Actions: may(policy.SendMessage)},
	{Section: Messages, Text: "Wordings", Href: "/messages/wordings", Keywords: "saved texts templates snippets phrases", Actions: may(policy.SendMessage)},
	{Section: Messages, Text: "Not opened yet", Href: "/worklists/unread", Keywords: "unread messages worklist days", Actions: may(policy.SeeMessages)},
	{Section: Messages, Text: "Bcc'd to me", Href: "/messages/bcc", Keywords: "staff bcc messages copied", Actions: may(policy.SeeBcc)},
	{Section: Messages, Text: "No working e-mail", Href: "/worklists/no-email", Keywords: "worklist bounced address alerts {Portal Users}", Actions: may(policy.SendMessage)},
	{Section: Messages, Text: "Emergency access", Href: "/emergency", Keywords: glass, Actions: may(policy.OpenEmergency)},

	{Section: Notices, Text: "Notices", Href: NoticesAt, Keywords: "messages ended finished delivered failed alerts", Actions: may(policy.SeeMessages)},

	{Section: Record, Text: "Events", Href: "/record", Title: "Record", Keywords: "events audit log export timeline compliance", Actions: may(policy.ReadTheRecord)},
	{Section: Record, Text: "Emergency access", Href: "/emergency", Keywords: glass, Actions: may(policy.ReviewEmergency)},
	{Section: Record, Text: "Erasures", Href: "/record/erasures", Keywords: erasing, Actions: may(policy.ReadTheRecord)},

	{Section: Operations, Text: "Overview", Href: "/operations", Title: "Operations", Keywords: "health consumers lag alerting pause sendgrid overview", Actions: may(policy.Replay)},
	{Section: Operations, Text: "Replays", Href: "/operations/replays", Title: "Operations: Replays", Keywords: "resend failed alerts repeat operations", Actions: may(policy.Replay)},
	{Section: Operations, Text: "Parked events", Href: "/operations/parked", Keywords: "operations failed poison retry discard", Actions: may(policy.SettleParked)},

	{Section: Administration, Text: "Staff", Href: "/administration/staff", Setting: true,
		Title: "Staff: System Permissions", Keywords: "staff info general bulk {Portal User} message settings administration", Actions: may(policy.ChangeStaff)},
	{Section: Administration, Text: "Permission requests", Href: "/administration/grants",
		Keywords: "staff approve two people administrators worklist administration", Actions: may(policy.ChangeStaff)},
	{Section: Administration, Text: "Custom Labels", Href: "/administration/labels", Setting: true,
		Keywords: "rename {Patient} {Portal User} words names settings administration", Actions: may(policy.ChangeLabels)},
	{Section: Administration, Text: "Clinic Details", Href: "/administration/clinic", Setting: true,
		Keywords: "name logo telephone address opening hours colour help portal appearance letterhead settings administration", Actions: may(policy.ChangeClinic)},
	{Section: Administration, Text: "{Portal Users}", Href: "/directory/portal-users",
		Title: "Directory: {Portal Users}", Keywords: "people accounts links search administration", Actions: may(policy.SeeDirectory)},
	{Section: Administration, Text: "{Patients}", Href: "/directory/patients",
		Title: "Directory: {Patients}", Keywords: "people status links search administration", Actions: may(policy.SeeDirectory)},
	{Section: Administration, Text: "Import", Href: "/directory/import",
		Title: "Directory: Import", Keywords: "upload csv {Patients} {Portal Users} administration", Actions: may(policy.Import)},
	{Section: Administration, Text: "Invitations", Href: "/directory/invitations",
		Title: "Directory: Invitations", Keywords: "invite accounts passwords links {Portal Users} administration", Actions: may(policy.Invite)},
	{Section: Administration, Text: "No working e-mail", Href: "/worklists/no-email", Keywords: "worklist bounced address alerts {Portal Users}", Actions: may(policy.SeeDirectory)},
	{Section: Administration, Text: "Erasures", Href: "/record/erasures", Keywords: erasing, Actions: may(policy.EraseContent)},

	{Section: Account, Text: "Account", Href: "/account", Keywords: "me password second factor passkey code phone recovery sign out everywhere sessions devices API tokens", Actions: may(policy.SecureAccount)},

	// For portal users.
	{Section: Messages, Text: "Messages", Href: "/portal", Actions: may(policy.ReadInbox)},
	{Section: Account, Text: "Account", Href: "/portal/account", Actions: may(policy.ReadInbox)},
}

const glass = "break glass emergency review worklist read content disclosures"

const erasing = "erase delete destroy content retention administration"

// Allowed lists the destinations that a subject may open, in the language of the clinic's labels, with
// the labels filled in and every Title set. In another language than English, the keywords are those of
// both. A destination in two menus is listed twice.
func Allowed(subject policy.Subject, l labels.Labels) (allowed []Destination) {
	for _, d := range destinations {
		if !slices.ContainsFunc(d.Actions, func(a policy.Action) bool { return policy.Allow(subject, a) == nil }) {
			continue
		}
		if d.Title == "" {
			d.Title = d.Text
		}
		if l.Language != "" && l.Language != language.English {
			d.Keywords = l.Fill(d.Keywords) + " " + labels.Default().Fill(d.Title+" "+d.Keywords)
		}
		d.Text, d.Title, d.Keywords = l.Fill(d.Text), l.Fill(d.Title), l.Fill(d.Keywords)
		allowed = append(allowed, d)
	}
	return allowed
}

// NoticesAt is the address of the page of notices, whose item of the main menu has a count.
const NoticesAt = "/notices"

// An Item is a link of a menu, or a menu that opens.
type Item struct {
	Text, Href string
	Current    bool
	Menu       []Item
	// Count is the number of new things behind the link, such as 3 or 99+; "" shows none.
	Count string
}

// Main is the main menu for a subject, on a page of the section current.
func Main(subject policy.Subject, l labels.Labels, current string) (items []Item) {
	allowed := Allowed(subject, l)
	for _, s := range sections {
		menu := menuOf(allowed, s.section, "")
		if len(menu) == 0 {
			continue
		}
		item := Item{Text: l.Language.Text(s.text), Current: string(s.section) == current}
		if s.opens {
			item.Menu = menu
		} else {
			item.Href = menu[0].Href
		}
		items = append(items, item)
	}
	return items
}

// Menu is the menu of one section for a subject, on the page with the address current.
func Menu(subject policy.Subject, l labels.Labels, section Section, current string) (items []Item) {
	return menuOf(Allowed(subject, l), section, current)
}

func menuOf(allowed []Destination, section Section, current string) (items []Item) {
	for _, d := range allowed {
		if d.Section == section {
			items = append(items, Item{Text: d.Text, Href: d.Href, Current: d.Href == current})
		}
	}
	return items
}

// Home is the first page for a staff member who has no messages: the first destination
// outside Messages and Account, else the first.
func Home(subject policy.Subject) string {
	allowed := Allowed(subject, labels.Default())
	for _, d := range allowed {
		if d.Section != Messages && d.Section != Account {
			return d.Href
		}
	}
	return allowed[0].Href
}
