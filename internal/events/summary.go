package events

import (
	"fmt"
	"strings"

	"postern/internal/text/number"
)

// Names gives the name of a staff member, by their id; "" if it is not known.
type Names func(staffID string) string

// Summary gives one line of text for people: the actor, the action and its object. Staff
// appear by name, portal users and everything else by id. Apart from staff names it
// contains no text that a person typed. If names is nil, staff appear by id, too. An
// event that this binary can't read is described by its type.
func Summary(e Event, names Names) string {
	if d, _ := Describe(e.Type); Reads(e.Type, e.Version) {
		if text, err := d.summary(e, names); err == nil {
			return names.actor(e.Actor) + " " + text
		}
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(string(e.Type))
}

// staff gives a staff member's name, or "staff member" and the id.
func (n Names) staff(id string) string {
	if n != nil {
		if name := n(id); name != "" {
			return name
		}
	}
	return unnamed + id
}

// unnamed is the prefix of the id of a staff member whose name is not known.
const unnamed = "staff member "

// actor describes the actor of an event, for the beginning of a sentence.
func (n Names) actor(actor string) string {
	kind, id, _ := strings.Cut(actor, ":")
	switch {
	case kind == "staff":
		if name := n.staff(id); name != unnamed+id {
			return name
		}
		return "Staff member " + id
	case kind == "portal_user":
		return "Portal user " + id
	case actor == "process:sendgrid":
		return "SendGrid"
	case actor == ByTheOrganisation:
		return "The organisation"
	case kind == "process":
		return "The process " + id
	case kind == "operator":
		return "Operator " + id
	}
	return "An unknown actor"
}

// account describes the account of a sign-in.
func (n Names) account(realm, id string) string {
	switch {
	case id == "" && realm == "portal_user":
		return "an unknown portal user"
	case id == "":
		return "an unknown staff member"
	case realm == "portal_user":
		return "portal user " + id
	}
	return n.staff(id)
}

// summary makes a descriptor's summary from a function of the decoded body.
func summary[T any, P interface {
	*T
	Body
}](say func(T, Names) string) func(Event, Names) (string, error) {
	return func(e Event, names Names) (string, error) {
		body, err := decode[T, P](e)
		if err != nil {
			return "", err
		}
		return say(body, names), nil
	}
}

func words(text string) func(Event, Names) (string, error) {
	return func(Event, Names) (string, error) { return text, nil }
}

// chunkSummary counts the deliveries of a chunk.
func chunkSummary(e Event, _ Names) (string, error) {
	n := 0
	if e.IsByBlock() {
		b, err := decode[DeliveriesByBlock](e)
		for i := range b.Blocks {
			n += b.Blocks[i].Members.Count()
		}
		return chunkDone(n, e.Chunk), err
	}
	if _, _, err := ScanChunk(e.Data, func(*Recipient) error { n++; return nil }); err != nil {
		return "", err
	}
	return chunkDone(n, e.Chunk), nil
}

// ChunkSummary is the [Summary] of a deliveries.created whose body need not be read
// for it.
func ChunkSummary(actor string, names Names, deliveries int, c *ChunkRef) string {
	return names.actor(actor) + " " + chunkDone(deliveries, c)
}

func chunkDone(deliveries int, c *ChunkRef) string {
	return "recorded " + number.Of(deliveries, "delivery", "deliveries") + placeOf(c)
}

func placeOf(c *ChunkRef) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf(" (chunk %s of %s)", number.Text(c.Index+1), number.Text(c.Of))
}
