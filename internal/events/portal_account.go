package events

import (
	"encoding/json"
	"slices"

	"github.com/google/uuid"
)

// The e-mail addresses of portal users who have an account, and whether portal users want alerts.
// None of these events has an address.
const (
	TypeAlertsOptedOut   Type = "alerts.opted_out"
	TypeAlertsOptedIn    Type = "alerts.opted_in"
	TypeAddressChanged   Type = "address.changed"
	TypeAddressConfirmed Type = "address.confirmed"
)

// accountEvents is the table of the events about the accounts of portal users.
const accountEvents = "account_events"

// OfAccount reports whether an event of the type may be about the account of a portal user.
func (d Descriptor) OfAccount() bool { return slices.Contains(d.Rows, accountEvents) }

// PortalUserAccount returns the id of the portal user whose account the event is about, "" for an
// event that is about no such account.
func (e Event) PortalUserAccount() string {
	d, known := Describe(e.Type)
	if !known || !d.OfAccount() {
		return ""
	}
	var body struct {
		PortalUserID string `json:"portal_user_id"`
		Account      string `json:"account"`
		ID           string `json:"id"`
	}
	if json.Unmarshal(e.Data, &body) != nil {
		return ""
	}
	if body.Account == "portal_user" {
		return body.ID
	}
	return body.PortalUserID
}

var portalAccountTypes = []Descriptor{{
	Type: TypeAddressChanged, Version: 1, Label: "Address of an account changed",
	When:       "the directory has another e-mail address for a portal user who has an account",
	Publishers: []string{API}, Rows: []string{accountEvents},
	About: AboutNamed, summary: summary(AddressChanged.summary),
}, {
	Type: TypeAddressConfirmed, Version: 1, Label: "Changed address confirmed",
	When:       "a changed e-mail address is confirmed, before a link to set a password goes to it",
	Publishers: []string{API}, Rows: []string{"address_confirmations", accountEvents},
	About: AboutNamed, summary: summary(AddressConfirmed.summary),
}, {
	Type: TypeAlertsOptedOut, Version: 1, Label: "Opted out of alerts",
	When:       "a portal user wants no more e-mails about new messages",
	Publishers: []string{API}, Rows: []string{"alert_opt_outs", accountEvents},
	About: AboutNamed, summary: summary(OptOut.summary),
}, {
	Type: TypeAlertsOptedIn, Version: 1, Label: "Opted in to alerts again",
	When:       "a portal user wants e-mails about new messages again",
	Publishers: []string{API}, Rows: []string{"alert_opt_outs", accountEvents},
	About: AboutNamed, summary: summary(OptOut.summary),
}}

// AddressChanged says that the e-mail address of a portal user with an account changed, and
// that their sessions ended with it. The actor is who changed it. It is published after the
// change, from a row that was committed with it.
type AddressChanged struct {
	Change       uuid.UUID `json:"change"`
	PortalUserID string    `json:"portal_user_id"`
}

func (AddressChanged) EventType() Type    { return TypeAddressChanged }
func (b AddressChanged) Key() []string    { return []string{b.Change.String()} }
func (AddressChanged) Message() uuid.UUID { return uuid.Nil }

func (b AddressChanged) summary(s speaker) string {
	return s.Text("changed the e-mail address of portal user {id}, who has an account, and ended their sessions", "id", b.PortalUserID)
}

// AddressConfirmed says that a version of the e-mail address of a portal user was confirmed:
// links to set a password go to it at once.
type AddressConfirmed struct {
	Change         uuid.UUID `json:"change"`
	PortalUserID   string    `json:"portal_user_id"`
	PortalUserNo   int32     `json:"portal_user_no"`
	AddressVersion int       `json:"address_version"`
}

func (AddressConfirmed) EventType() Type    { return TypeAddressConfirmed }
func (b AddressConfirmed) Key() []string    { return []string{b.Change.String()} }
func (AddressConfirmed) Message() uuid.UUID { return uuid.Nil }

func (b AddressConfirmed) summary(s speaker) string {
	return s.Text("confirmed with portal user {id} that their new e-mail address is theirs", "id", b.PortalUserID)
}

// OptOut is the body of alerts.opted_out and alerts.opted_in: whether a portal user wants e-mails
// about new messages. With OptOutOneClick the actor is the process, because anyone who has the e-mail
// can use its link.
type OptOut struct {
	Out          bool      `json:"-"`
	Change       uuid.UUID `json:"change"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
	How          OptOutHow `json:"how"`
}

// OptOutHow is where a portal user opted out or in.
type OptOutHow string

// The values of [OptOutHow]: in the portal, signed in, or with the link of an alert (RFC 8058).
const (
	OptOutInPortal OptOutHow = "portal"
	OptOutOneClick OptOutHow = "one_click"
)

func (b OptOut) Key() []string    { return []string{b.Change.String()} }
func (OptOut) Message() uuid.UUID { return uuid.Nil }
func (b *OptOut) ofType(t Type)   { b.Out = t == TypeAlertsOptedOut }

// EventType is alerts.opted_out or alerts.opted_in.
func (b OptOut) EventType() Type {
	if b.Out {
		return TypeAlertsOptedOut
	}
	return TypeAlertsOptedIn
}

func (b OptOut) summary(s speaker) string {
	what := s.Text("turned on e-mails about new messages for portal user {id}", "id", b.PortalUserID)
	if b.Out {
		what = s.Text("turned off e-mails about new messages for portal user {id}", "id", b.PortalUserID)
	}
	if b.How == OptOutOneClick {
		return what + s.Text(", with the link of an e-mail")
	}
	return what
}
