package page

import (
	"postern/internal/access/policy"
	"postern/internal/labels"
)

// Item is a place that the navigation leads to, with a menu below it or none.
type Item struct {
	Text, Href string
	Current    bool
	Menu       []Item
}

// navigation is what the reader may see of everything.
func navigation(f *Frame) []Item {
	if f.Realm == policy.RealmPortalUser {
		return []Item{
			{Text: "Messages", Href: "/portal", Current: f.Section == "messages"},
			{Text: "Account", Href: "/portal/account", Current: f.Section == "account"},
		}
	}
	account := Item{Text: "Account", Href: "/account", Current: f.Section == "account"}
	if f.Me.FactorDue {
		return []Item{account}
	}
	var items []Item
	if f.May(policy.SeeMessages) || f.May(policy.ReadTheRecord) {
		items = append(items, Item{Text: "Messages", Href: "/messages", Current: f.Section == "messages"})
	} else {
		items = append(items, Item{Text: "Messages", Href: "/messages/bcc", Current: f.Section == "messages"})
	}
	if f.May(policy.SendMessage) {
		items = append(items, Item{Text: "Compose", Current: f.Section == "compose",
			Menu: []Item{{Text: f.L.Patient.One + " Portal Message", Href: "/messages/compose"}}})
	}
	if f.May(policy.ReadTheRecord) {
		items = append(items, Item{Text: "Record", Href: "/record", Current: f.Section == "record"})
	}
	if operations := operations(f); len(operations) > 0 {
		items = append(items, Item{Text: "Operations", Href: "/operations", Current: f.Section == "operations"})
	}
	if administration := administration(f); len(administration) > 0 {
		items = append(items, Item{Text: "Administration", Href: administration[0].Href, Current: f.Section == "administration"})
	}
	return append(items, account)
}

// Home is where somebody of the staff begins whose messages are none: at the first
// place that the navigation leads to besides, their account apart.
func Home(subject policy.Subject) string {
	items := navigation(&Frame{Realm: policy.RealmStaff, Me: &subject, L: labels.Default()})
	if len(items) < 3 {
		return items[0].Href
	}
	return items[1].Href
}

// administration is what the pages of the administration have on their side.
func administration(f *Frame) (items []Item) {
	for _, one := range []struct {
		item    Item
		actions []policy.Action
	}{
		{Item{Text: "Staff", Href: "/administration/staff"}, May(policy.ChangeStaff)},
		{Item{Text: "Custom Labels", Href: "/administration/labels"}, May(policy.ChangeLabels)},
		{Item{Text: f.L.PortalUser.Many, Href: "/directory/portal-users"}, May(policy.SeeDirectory)},
		{Item{Text: f.L.Patient.Many, Href: "/directory/patients"}, May(policy.SeeDirectory)},
		{Item{Text: "Import", Href: "/directory/import"}, May(policy.Import)},
		{Item{Text: "No working e-mail", Href: "/worklists/no-email"}, May(policy.SeeDirectory)},
		{Item{Text: "Erasures", Href: "/record/erasures"}, May(policy.EraseContent)},
	} {
		for _, action := range one.actions {
			if f.May(action) {
				items = append(items, one.item)
				break
			}
		}
	}
	return items
}

// Administration is the navigation among the pages of the administration, of which
// href is the current one.
func (f Frame) Administration(href string) []Item {
	items := administration(&f)
	for i := range items {
		items[i].Current = items[i].Href == href
	}
	return items
}

// operations is what the pages of operations have on their side.
func operations(f *Frame) (items []Item) {
	for _, one := range []struct {
		item    Item
		actions []policy.Action
	}{
		{Item{Text: "Overview", Href: "/operations"}, May(policy.Replay, policy.SettleParked)},
		{Item{Text: "Replays", Href: "/operations/replays"}, May(policy.Replay)},
		{Item{Text: "Parked events", Href: "/operations/parked"}, May(policy.SettleParked)},
	} {
		for _, action := range one.actions {
			if f.May(action) {
				items = append(items, one.item)
				break
			}
		}
	}
	return items
}

// Operations is the navigation among the pages of operations, of which href is the
// current one.
func (f Frame) Operations(href string) []Item {
	items := operations(&f)
	for i := range items {
		items[i].Current = items[i].Href == href
	}
	return items
}

// Messages is the navigation among the lists of messages, of which href is the
// current one.
func (f Frame) Messages(href string) (items []Item) {
	if f.May(policy.SeeMessages) || f.May(policy.ReadTheRecord) {
		items = append(items, Item{Text: "Messages", Href: "/messages"})
	}
	if f.May(policy.SendMessage) {
		items = append(items, Item{Text: "Drafts", Href: "/messages/drafts"})
	}
	if f.May(policy.SeeMessages) {
		items = append(items, Item{Text: "Not opened yet", Href: "/worklists/unread"})
	}
	items = append(items, Item{Text: "Bcc'd to me", Href: "/messages/bcc"})
	if f.May(policy.SendMessage) {
		items = append(items, Item{Text: "No working e-mail", Href: "/worklists/no-email"})
	}
	for i := range items {
		items[i].Current = items[i].Href == href
	}
	return items
}
