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

// auditOf returns an event as an AuditEvent, nil if the event is not about an access.
func auditOf(e events.Event) (a *auditEvent, err error) {
	a = &auditEvent{ResourceType: "AuditEvent", ID: e.ID.String(), Action: actionRead, Recorded: instant(e.Time), Outcome: succeeded,
		Agent:  []agent{{Who: whoIs(e.Actor), Requestor: true}},
		Source: source{known("Device", systemProcess, strings.TrimPrefix(e.Source, "/"))}}
	switch e.Type {
	case events.TypeDeliveryOpened:
		var b events.DeliveryOpened
		b, err = events.Decode[events.DeliveryOpened](e)
		a.Type, a.Entity = patientRecord, []entity{ofDelivery(b.MessageID, b.PortalUserID)}
	case events.TypeAttachmentDownloaded:
		var b events.AttachmentDownloaded
		b, err = events.Decode[events.AttachmentDownloaded](e)
		document := known("DocumentReference", systemDocument, b.AttachmentID.String())
		a.Type, a.Entity = patientRecord, []entity{{What: &document, Type: &systemObject},
			ofDelivery(b.MessageID, b.PortalUserID)}
	case events.TypeDeliveryDisclosed:
		var b events.DeliveryDisclosed
		b, err = events.Decode[events.DeliveryDisclosed](e)
		a.Type, a.Entity, a.OutcomeDesc = exported, []entity{ofDelivery(b.MessageID, b.PortalUserID)}, "disclosed to "+b.To
	case events.TypeSignedIn, events.TypeSignInFailed:
		var b events.SignIn
		b, err = events.Decode[events.SignIn](e)
		a.signIn(b)
	case events.TypeSignInsFailed:
		var b events.SignInsFailed
		b, err = events.Decode[events.SignInsFailed](e)
		a.Type, a.Subtype, a.Action, a.Outcome = authentication, []coding{login}, actionExecute, minorFailure
		a.OutcomeDesc = countsOf(b.ByReason)
		a.from(b.Source)
	case events.TypeActionsRefused:
		var b events.ActionsRefused
		b, err = events.Decode[events.ActionsRefused](e)
		a.Type, a.Action, a.Outcome = securityAlert, actionExecute, minorFailure
		a.OutcomeDesc = fmt.Sprintf("%d refused: %s", b.Count, strings.Join(b.Actions, ", "))
	case events.TypePermissionGranted, events.TypePermissionRevoked:
		var b events.PermissionChanged
		b, err = events.Decode[events.PermissionChanged](e)
		staff := known("Practitioner", systemStaff, b.StaffID)
		a.Type, a.Subtype, a.Action, a.Entity = securityAlert, []coding{rolesChanged}, actionUpdate, []entity{{What: &staff}}
	case events.TypeStaffDisabled, events.TypeStaffEnabled:
		var b events.StaffEnabledChanged
		b, err = events.Decode[events.StaffEnabledChanged](e)
		a.account("staff", b.StaffID)
	case events.TypeSecondFactorAdded, events.TypeSecondFactorRemoved, events.TypeSecondFactorReset:
		var b events.SecondFactor
		b, err = events.Decode[events.SecondFactor](e)
		a.account(b.Owner())
	case events.TypeRecoveryCodesMade:
		var b events.RecoveryCodesMade
		b, err = events.Decode[events.RecoveryCodesMade](e)
		a.account(b.Account, b.ID)
	case events.TypeIdentityLinked:
		var b events.IdentityLinked
		b, err = events.Decode[events.IdentityLinked](e)
		a.account("staff", b.StaffID)
	case events.TypeIdentityUnlinked:
		var b events.IdentityUnlinked
		b, err = events.Decode[events.IdentityUnlinked](e)
		a.account("staff", b.StaffID)
	case events.TypeStaffChanged:
		var b events.StaffChanged
		b, err = events.Decode[events.StaffChanged](e)
		a.account("staff", b.StaffID)
	case events.TypePasswordSet:
		var b events.PasswordSet
		b, err = events.Decode[events.PasswordSet](e)
		a.account(b.Account, b.ID)
	case events.TypeLinkIssued:
		var b events.LinkIssued
		b, err = events.Decode[events.LinkIssued](e)
		a.account(b.Account, b.ID)
	case events.TypeAddressChanged:
		var b events.AddressChanged
		b, err = events.Decode[events.AddressChanged](e)
		a.account("portal_user", b.PortalUserID)
	case events.TypeAddressConfirmed:
		var b events.AddressConfirmed
		b, err = events.Decode[events.AddressConfirmed](e)
		a.account("portal_user", b.PortalUserID)
	case events.TypeAlertsOptedOut, events.TypeAlertsOptedIn:
		var b events.OptOut
		b, err = events.Decode[events.OptOut](e)
		a.account("portal_user", b.PortalUserID)
	case events.TypeTokenCreated:
		var b events.TokenCreated
		b, err = events.Decode[events.TokenCreated](e)
		a.account("staff", b.StaffID)
	case events.TypeTokenRevoked:
		var b events.TokenRevoked
		b, err = events.Decode[events.TokenRevoked](e)
		a.account("staff", b.StaffID)
	case events.TypeSessionsEnded:
		var b events.SessionsEnded
		b, err = events.Decode[events.SessionsEnded](e)
		a.account(b.Account, b.ID)
	case events.TypeRecordRead:
		var b events.RecordRead
		b, err = events.Decode[events.RecordRead](e)
		a.Type, a.Entity = auditLogUsed, ofRecord(b.Filter)
	case events.TypeRecordExported:
		var b events.RecordExported
		b, err = events.Decode[events.RecordExported](e)
		a.Type, a.Entity = exported, ofRecord(b.Filter)
	default:
		return nil, nil
	}
	return a, err
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
	case "staff":
		return known("Practitioner", systemStaff, id)
	case "portal_user":
		return known("", systemPortalUser, id)
	case "process":
		return known("Device", systemProcess, id)
	}
	return known("", systemActor, actor)
}
