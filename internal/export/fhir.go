package export

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/reading"
)

// resources writes resources of FHIR R4 (https://hl7.org/fhir/R4/), one a line: a
// Communication for each delivery, and an AuditEvent for each access: opened,
// downloaded, signed in or not, the record read or exported, a permission given or
// taken, a staff member disabled or enabled, a second factor
// changed. Other events have none. People are named by their ids alone.
type resources struct {
	out    *bufio.Writer
	pool   *pgxpool.Pool
	filter reading.Filter
	n      int

	sent message // the last that was looked up: its chunks follow one another
}

func (r *resources) rows() int { return r.n }

func (r *resources) add(ctx context.Context, e *reading.Whole) error {
	if e.Repeats != 0 || e.ID == uuid.Nil { // it says nothing
		return nil
	}
	event, err := e.Event()
	if err != nil {
		return err
	}
	if event.Type == events.TypeDeliveriesCreated {
		if !e.Projected { // parked: nobody got anything by it
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

// The parts that resources are made of, with the members that we use of each; see
// https://hl7.org/fhir/R4/datatypes.html.
type (
	coding struct {
		System  string `json:"system"`
		Code    string `json:"code"`
		Display string `json:"display"`
	}
	concept struct {
		Text string `json:"text"`
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

// resourceID is what may stand after the slash in a reference.
var resourceID = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// referTo names a resource of the system that the directory was imported from, under
// whose id we know it, and by our own identifier.
func referTo(resource, system, id string) reference {
	to := reference{Type: resource, Identifier: &identifier{system, id}}
	if resourceID.MatchString(id) {
		to.Reference = resource + "/" + id
	}
	return to
}

// known names somebody or something by our own identifier alone.
func known(resource, system, id string) reference {
	return reference{Type: resource, Identifier: &identifier{system, id}}
}

// instant is a time as FHIR has it.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// deliveryOf names the Communication of a delivery.
func deliveryOf(message uuid.UUID, portalUser string) (id string, known identifier) {
	return uuid.NewSHA1(message, []byte(portalUser)).String(), identifier{systemDelivery, message.String() + "/" + portalUser}
}
