package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"postern/internal/events"
)

// auditEvent is https://hl7.org/fhir/R4/auditevent.html.
type auditEvent struct {
	ResourceType string   `json:"resourceType"`
	ID           string   `json:"id"`
	Type         coding   `json:"type"`
	Subtype      []coding `json:"subtype,omitempty"`
	Action       string   `json:"action"`
	Recorded     string   `json:"recorded"`
	Outcome      string   `json:"outcome"`
	OutcomeDesc  string   `json:"outcomeDesc,omitempty"`
	Agent        []agent  `json:"agent"`
	Source       source   `json:"source"`
	Entity       []entity `json:"entity,omitempty"`
}

type agent struct {
	Who       reference `json:"who"`
	Requestor bool      `json:"requestor"`
	Network   *network  `json:"network,omitempty"`
}

// network is where the request came from.
type network struct {
	Address string `json:"address"`
	Type    string `json:"type"`
}

type source struct {
	Observer reference `json:"observer"`
}

// entity has a name or a query, never both (constraint sev-1).
type entity struct {
	What  *reference `json:"what,omitempty"`
	Type  *coding    `json:"type,omitempty"`
	Query []byte     `json:"query,omitempty"` // base64
}

// The codes, of https://hl7.org/fhir/R4/valueset-audit-event-type.html and
// valueset-audit-event-sub-type.html; those of DICOM are in DCM
// (https://dicom.nema.org/medical/dicom/current/output/chtml/part16/chapter_D.html).
const dcm = "http://dicom.nema.org/resources/ontology/DCM"

var (
	patientRecord  = coding{dcm, "110110", "Patient Record"}
	authentication = coding{dcm, "110114", "User Authentication"}
	login          = coding{dcm, "110122", "Login"}
	auditLogUsed   = coding{dcm, "110101", "Audit Log Used"}
	exported       = coding{dcm, "110106", "Export"}
	securityAlert  = coding{dcm, "110113", "Security Alert"}
	rolesChanged   = coding{dcm, "110136", "Security Roles Changed"}
	attributes     = coding{dcm, "110137", "User security Attributes Changed"}
	systemObject   = coding{"http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object"}
)

// Actions (https://hl7.org/fhir/R4/valueset-audit-event-action.html) and outcomes
// (valueset-audit-event-outcome.html).
const (
	actionRead    = "R"
	actionUpdate  = "U"
	actionExecute = "E"

	succeeded    = "0"
	minorFailure = "4"

	// ipAddress is the type of a network (valueset-network-type.html).
	ipAddress = "2"
)

// The kinds of accounts, as in the actor of an event.
const (
	staffAccount  = "staff"
	portalAccount = "portal_user"
)

// auditOf returns an event as an AuditEvent, nil if the event is not about an access.
func auditOf(e events.Event) (*auditEvent, error) {
	describe, ok := audits[e.Type]
	if !ok {
		return nil, nil
	}
	a := &auditEvent{ResourceType: "AuditEvent", ID: e.ID.String(), Action: actionRead, Recorded: instant(e.Time), Outcome: succeeded,
		Agent:  []agent{{Who: whoIs(e.Actor), Requestor: true}},
		Source: source{known("Device", systemProcess, strings.TrimPrefix(e.Source, "/"))}}
	return a, describe(a, e)
}

// audits has the events that are about an access, each with what it sets in the AuditEvent.
var audits = map[events.Type]func(*auditEvent, events.Event) error{
	// Content and the record.
	events.TypeDeliveryOpened: by(func(a *auditEvent, b events.DeliveryOpened) {
		a.Type, a.Entity = patientRecord, []entity{ofDelivery(b.MessageID, b.PortalUserID)}
	}),
	events.TypeAttachmentDownloaded: by(func(a *auditEvent, b events.AttachmentDownloaded) {
		document := known("DocumentReference", systemDocument, b.AttachmentID.String())
		a.Type, a.Entity = patientRecord, []entity{{What: &document, Type: &systemObject}, ofDelivery(b.MessageID, b.PortalUserID)}
	}),
	events.TypeDeliveryDisclosed: by(func(a *auditEvent, b events.DeliveryDisclosed) {
		a.Type, a.Entity, a.OutcomeDesc = exported, []entity{ofDelivery(b.MessageID, b.PortalUserID)}, "disclosed to "+b.To
	}),
	events.TypeRecordRead: by(func(a *auditEvent, b events.RecordRead) {
		a.Type, a.Entity = auditLogUsed, ofRecord(b.Filter)
	}),
	events.TypeRecordExported: by(func(a *auditEvent, b events.RecordExported) {
		a.Type, a.Entity = exported, ofRecord(b.Filter)
	}),

	// Sign-ins, and what was refused.
	events.TypeSignedIn:     by((*auditEvent).signIn),
	events.TypeSignInFailed: by((*auditEvent).signIn),
	events.TypeSignInsFailed: by(func(a *auditEvent, b events.SignInsFailed) {
		a.Type, a.Subtype, a.Action, a.Outcome = authentication, []coding{login}, actionExecute, minorFailure
		a.OutcomeDesc = countsOf(b.ByReason)
		a.from(b.Source)
	}),
	events.TypeActionsRefused: by(func(a *auditEvent, b events.ActionsRefused) {
		a.Type, a.Action, a.Outcome = securityAlert, actionExecute, minorFailure
		a.OutcomeDesc = fmt.Sprintf("%d refused: %s", b.Count, strings.Join(b.Actions, ", "))
	}),

	// What an account may do, and how its owner signs in.
	events.TypePermissionGranted:   by((*auditEvent).permission),
	events.TypePermissionRevoked:   by((*auditEvent).permission),
	events.TypeStaffDisabled:       by(func(a *auditEvent, b events.StaffEnabledChanged) { a.account(staffAccount, b.StaffID) }),
	events.TypeStaffEnabled:        by(func(a *auditEvent, b events.StaffEnabledChanged) { a.account(staffAccount, b.StaffID) }),
	events.TypeSecondFactorAdded:   by(func(a *auditEvent, b events.SecondFactor) { a.account(b.Owner()) }),
	events.TypeSecondFactorRemoved: by(func(a *auditEvent, b events.SecondFactor) { a.account(b.Owner()) }),
	events.TypeSecondFactorReset:   by(func(a *auditEvent, b events.SecondFactor) { a.account(b.Owner()) }),
	events.TypeRecoveryCodesMade:   by(func(a *auditEvent, b events.RecoveryCodesMade) { a.account(b.Account, b.ID) }),
	events.TypeIdentityLinked:      by(func(a *auditEvent, b events.IdentityLinked) { a.account(staffAccount, b.StaffID) }),
	events.TypeIdentityUnlinked:    by(func(a *auditEvent, b events.IdentityUnlinked) { a.account(staffAccount, b.StaffID) }),
	events.TypeStaffChanged:        by(func(a *auditEvent, b events.StaffChanged) { a.account(staffAccount, b.StaffID) }),
	events.TypePasswordSet:         by(func(a *auditEvent, b events.PasswordSet) { a.account(b.Account, b.ID) }),
	events.TypeLinkIssued:          by(func(a *auditEvent, b events.LinkIssued) { a.account(b.Account, b.ID) }),
	events.TypeAddressChanged:      by(func(a *auditEvent, b events.AddressChanged) { a.account(portalAccount, b.PortalUserID) }),
	events.TypeAddressConfirmed:    by(func(a *auditEvent, b events.AddressConfirmed) { a.account(portalAccount, b.PortalUserID) }),
	events.TypeAlertsOptedOut:      by(func(a *auditEvent, b events.OptOut) { a.account(portalAccount, b.PortalUserID) }),
	events.TypeAlertsOptedIn:       by(func(a *auditEvent, b events.OptOut) { a.account(portalAccount, b.PortalUserID) }),
	events.TypeTokenCreated:        by(func(a *auditEvent, b events.TokenCreated) { a.account(staffAccount, b.StaffID) }),
	events.TypeTokenRevoked:        by(func(a *auditEvent, b events.TokenRevoked) { a.account(staffAccount, b.StaffID) }),
	events.TypeSessionsEnded:       by(func(a *auditEvent, b events.SessionsEnded) { a.account(b.Account, b.ID) }),
}

// by returns a function that decodes the body of an event and passes it to describe.
func by[T any, P interface {
	*T
	events.Body
}](describe func(*auditEvent, T)) func(*auditEvent, events.Event) error {
	return func(a *auditEvent, e events.Event) error {
		body, err := events.Decode[T, P](e)
		if err != nil {
			return err
		}
		describe(a, body)
		return nil
	}
}

func (a *auditEvent) signIn(b events.SignIn) {
	a.Type, a.Subtype, a.Action = authentication, []coding{login}, actionExecute
	if !b.Failed {
		return
	}
	a.Outcome, a.OutcomeDesc = minorFailure, b.Reason
	a.from(b.Source)
	if b.ID != "" {
		account := whoIs(b.Account + ":" + b.ID)
		a.Entity = []entity{{What: &account}}
	}
}

// permission describes a permission that was given or taken.
func (a *auditEvent) permission(b events.PermissionChanged) {
	staff := known("Practitioner", systemStaff, b.StaffID)
	a.Type, a.Subtype, a.Action, a.Entity = securityAlert, []coding{rolesChanged}, actionUpdate, []entity{{What: &staff}}
}

// account describes a change of how a person signs in.
func (a *auditEvent) account(account, id string) {
	who := whoIs(account + ":" + id)
	a.Type, a.Subtype, a.Action, a.Entity = securityAlert, []coding{attributes}, actionUpdate, []entity{{What: &who}}
}

// from sets the network that a request came from, where it is recorded.
func (a *auditEvent) from(source string) {
	if source != "" {
		a.Agent[0].Network = &network{source, ipAddress}
	}
}

// countsOf returns numbers by what they count, as "2 no_account, 3 wrong_password".
func countsOf(numbers map[string]int) string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(numbers)) {
		all = append(all, fmt.Sprintf("%d %s", numbers[what], what))
	}
	return strings.Join(all, ", ")
}

// ofDelivery returns the Communication of a delivery as an entity.
func ofDelivery(message uuid.UUID, portalUser string) entity {
	id, name := deliveryOf(message, portalUser)
	return entity{Type: &systemObject, What: &reference{Reference: "Communication/" + id, Type: "Communication", Identifier: &name}}
}

// ofRecord returns the record as an entity, with the filter of the query.
func ofRecord(f events.RecordFilter) []entity {
	query, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is texts and times
	}
	return []entity{{Type: &systemObject, Query: query}}
}

// whoIs returns a reference to an actor.
func whoIs(actor string) reference {
	kind, id, _ := strings.Cut(actor, ":")
	switch kind {
	case staffAccount:
		return known("Practitioner", systemStaff, id)
	case portalAccount:
		return known("", systemPortalUser, id)
	case "process":
		return known("Device", systemProcess, id)
	}
	return known("", systemActor, actor)
}
