package events

import (
	"strings"

	"postern/internal/text/language"
)

// Names gives the name of a staff member, by their id; "" if it is not known.
type Names func(staffID string) string

// Summary gives one line of text for people: the actor, the action and its object. Staff
// appear by name, portal users and everything else by id. Apart from staff names it
// contains no text that a person typed. If names is nil, staff appear by id, too. An
// event that this binary can't read is described by its type.
func Summary(e Event, names Names) string { return SummaryIn(language.English, e, names) }

// SummaryIn is [Summary] in a language.
func SummaryIn(l language.Language, e Event, names Names) string {
	s := speaker{l, names}
	if d, _ := Describe(e.Type); Reads(e.Type, e.Version) {
		if text, err := d.summary(e, s); err == nil {
			return s.actor(e.Actor) + " " + text
		}
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(string(e.Type))
}

// speaker writes summaries in a language, with the names of staff.
type speaker struct {
	language.Language
	names Names
}

// name gives a staff member's name, "" if it is not known.
func (s speaker) name(id string) string {
	if s.names == nil {
		return ""
	}
	return s.names(id)
}

// staff gives a staff member's name, or "staff member" and the id.
func (s speaker) staff(id string) string {
	if name := s.name(id); name != "" {
		return name
	}
	return s.Text("staff member {id}", "id", id)
}

// actor describes the actor of an event, for the beginning of a sentence.
func (s speaker) actor(actor string) string {
	kind, id, _ := strings.Cut(actor, ":")
	switch {
	case kind == "staff":
		if name := s.name(id); name != "" {
			return name
		}
		return s.Text("Staff member {id}", "id", id)
	case kind == "portal_user":
		return s.Text("Portal user {id}", "id", id)
	case actor == "process:sendgrid":
		return "SendGrid"
	case actor == ByTheOrganisation:
		return s.Text("The organisation")
	case kind == "process":
		return s.Text("The process {id}", "id", id)
	case kind == "operator":
		return s.Text("Operator {id}", "id", id)
	}
	return s.Text("An unknown actor")
}

// account describes the account of a sign-in.
func (s speaker) account(realm, id string) string {
	switch {
	case id == "" && realm == "portal_user":
		return s.Text("an unknown portal user")
	case id == "":
		return s.Text("an unknown staff member")
	case realm == "portal_user":
		return s.Text("portal user {id}", "id", id)
	}
	return s.staff(id)
}

// summary makes a descriptor's summary from a function of the decoded body.
func summary[T any, P interface {
	*T
	Body
}](say func(T, speaker) string) func(Event, speaker) (string, error) {
	return func(e Event, s speaker) (string, error) {
		body, err := decode[T, P](e)
		if err != nil {
			return "", err
		}
		return say(body, s), nil
	}
}

func words(text string) func(Event, speaker) (string, error) {
	return func(_ Event, s speaker) (string, error) { return s.Text(text), nil }
}

// chunkSummary counts the deliveries of a chunk.
func chunkSummary(e Event, s speaker) (string, error) {
	n := 0
	if e.IsByBlock() {
		b, err := decode[DeliveriesByBlock](e)
		for i := range b.Blocks {
			n += b.Blocks[i].Members.Count()
		}
		return s.chunkDone(n, e.Chunk), err
	}
	if _, _, err := ScanChunk(e.Data, func(*Recipient) error { n++; return nil }); err != nil {
		return "", err
	}
	return s.chunkDone(n, e.Chunk), nil
}

// ChunkSummary is the [SummaryIn] of a deliveries.created whose body need not be read
// for it.
func ChunkSummary(l language.Language, actor string, names Names, deliveries int, c *ChunkRef) string {
	s := speaker{l, names}
	return s.actor(actor) + " " + s.chunkDone(deliveries, c)
}

func (s speaker) chunkDone(deliveries int, c *ChunkRef) string {
	return s.Count(deliveries, "recorded {n} delivery", "recorded {n} deliveries") + s.placeOf(c)
}

func (s speaker) placeOf(c *ChunkRef) string {
	if c == nil {
		return ""
	}
	return " " + s.Text("(chunk {index} of {all})", "index", c.Index+1, "all", c.Of)
}
