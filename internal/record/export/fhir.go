package export

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/record/query"
)

// resources writes FHIR R4 resources (https://hl7.org/fhir/R4/), one a line: a Communication
// for each delivery, and an AuditEvent for each access: a message opened, a document
// downloaded, a sign-in or failed sign-in, the record read or exported, a permission given or
// removed, a staff member disabled or enabled, a second factor changed. Other events have no
// resource. People appear only with their ids.
type resources struct {
	out    *bufio.Writer
	pool   *pgxpool.Pool
	filter query.Filter
	n      int

	sent message // the last one looked up; the chunks of a message follow one another
	line []byte
}

func (r *resources) rows() int { return r.n }

func (r *resources) add(ctx context.Context, e *query.FullEvent) error {
	if e.Repeats != 0 || e.ID == uuid.Nil { // a repeated or unreadable event
		return nil
	}
	event, err := e.Event()
	if err != nil {
		return err
	}
	if event.Type == events.TypeDeliveriesCreated {
		if !e.Projected { // parked: it made no deliveries
			return nil
		}
		return r.communications(ctx, event)
	}
	audit, err := auditOf(event)
	if audit == nil || err != nil {
		return err
	}
	return r.write(audit)
}

func (r *resources) write(resource any) error {
	r.n++
	line, err := json.Marshal(resource)
	if err != nil {
		return fmt.Errorf("encoding a resource: %w", err)
	}
	_, _ = r.out.Write(line)
	return r.out.WriteByte('\n')
}

// The data types of resources, with the members that we use; see
// https://hl7.org/fhir/R4/datatypes.html.
type (
	coding struct {
		System  string `json:"system"`
		Code    string `json:"code"`
		Display string `json:"display"`
	}
	identifier struct {
		System string `json:"system"`
		Value  string `json:"value"`
	}
	reference struct {
		Reference  string      `json:"reference,omitempty"`
		Type       string      `json:"type,omitempty"`
		Identifier *identifier `json:"identifier,omitempty"`
	}
	extension struct {
		URL         string `json:"url"`
		ValueString string `json:"valueString"`
	}
)

// The systems of our ids.
const (
	systemPatient    = "urn:postern:patient"
	systemPortalUser = "urn:postern:portal-user"
	systemStaff      = "urn:postern:staff"
	systemActor      = "urn:postern:actor"
	systemProcess    = "urn:postern:process"
	systemDelivery   = "urn:postern:delivery"
	systemDocument   = "urn:postern:document"
)

// referTo returns a reference to a resource of the system from which the directory was
// imported, with the id in that system and our own identifier.
func referTo(resource, system, id string) reference {
	to := known(resource, system, id)
	if isResourceID(id) {
		to.Reference = resource + "/" + id
	}
	return to
}

// isResourceID reports whether an id may be used after the slash in a reference
// (https://hl7.org/fhir/R4/datatypes.html#id).
func isResourceID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= 64
}

// known returns a reference with only our own identifier.
func known(resource, system, id string) reference {
	return reference{Type: resource, Identifier: &identifier{system, id}}
}

// instant formats a time as a FHIR instant.
func instant(t time.Time) string { return string(appendInstant(nil, t)) }

func appendInstant(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// deliveryOf returns the id and the identifier of a delivery's Communication.
func deliveryOf(message uuid.UUID, portalUser string) (id string, known identifier) {
	return uuid.NewSHA1(message, []byte(portalUser)).String(), identifier{systemDelivery, message.String() + "/" + portalUser}
}

// appendText adds a JSON string.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a string always can be
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func appendIdentifier(b []byte, i identifier) []byte {
	b = appendText(append(b, `{"system":`...), i.System)
	return append(appendText(append(b, `,"value":`...), i.Value), '}')
}

// appendReference adds a reference with a type and an identifier.
func appendReference(b []byte, to reference) []byte {
	b = append(b, '{')
	if to.Reference != "" {
		b = append(appendText(append(b, `"reference":`...), to.Reference), ',')
	}
	b = appendText(append(b, `"type":`...), to.Type)
	return append(appendIdentifier(append(b, `,"identifier":`...), *to.Identifier), '}')
}
