package events

import "slices"

// A Type is the name of a kind of event, in the past tense.
type Type string

// The names of the processes, and of their NATS users.
const (
	API          = "api"
	FanoutWorker = "fanout-worker"
	NotifyWorker = "notify-worker"
	Recorder     = "recorder"
	// Admin is the user of `postern`, the only one that may make the stream. It may
	// publish every type, so no descriptor lists it.
	Admin = "admin"
)

// A Descriptor holds all facts about one type of event. The NATS permissions, the
// consumers, asyncapi.yaml, the table in doc.go, the pages of the record and their
// filter by type are derived from it.
type Descriptor struct {
	Type Type
	// Version is the schema version of new events. All versions from 1 on are read.
	Version int
	// Label is the name of the type in lists and filters.
	Label string
	// When says in a few words when an event is published.
	When string
	// Publishers are the processes that may publish the type, in addition to [Admin].
	Publishers []string
	// Consumers are the workers that handle the type. The recorder handles every type.
	Consumers []string
	// Rows are the tables of the database schema record that the recorder writes from
	// an event. If there are none, the recorder stores the event and projects nothing.
	Rows []string
	// About says which people an event refers to.
	About About
	// OfMessage says whether an event belongs to a message.
	OfMessage Belonging
	// summary gives the action as the predicate of a sentence whose subject is the
	// actor. It ignores the version.
	summary func(Event, speaker) (string, error)
}

// About says which people an event refers to, and so where to find their ids.
type About int

// The values of [About].
const (
	AboutNoOne      About = iota // no one but its actor, who is staff or a process
	AboutActor                   // the portal user who is its actor
	AboutRecipients              // every recipient of its message
	AboutChunk                   // the recipients of the chunk in its headers
	AboutNamed                   // the portal users in its body
	AboutStaff                   // the staff member in its body
)

// Belonging says whether the events of a type belong to a message.
type Belonging int

// The values of [Belonging].
const (
	NoMessage Belonging = iota
	OneMessage
	MaybeMessage // one message, or none
)

// registry holds every type, in display order.
var registry = slices.Concat(messageTypes, deliveryTypes, alertTypes, reportTypes, replayTypes, alertingTypes,
	parkedTypes, retentionTypes, emergencyTypes, accountTypes, grantTypes, factorTypes, credentialTypes, identityTypes, portalAccountTypes, invitationTypes, tokenTypes, guessingTypes, directoryTypes, recordTypes)

var byType = func() map[Type]*Descriptor {
	index := make(map[Type]*Descriptor, len(registry))
	for i := range registry {
		index[registry[i].Type] = &registry[i]
	}
	return index
}()

// Registry gives the descriptor of every type, in display order. The caller must not
// change the slices in the descriptors.
func Registry() []Descriptor { return slices.Clone(registry) }

// Describe gives the descriptor of a type, and false for a type that this binary
// does not know.
func Describe(t Type) (Descriptor, bool) {
	d, ok := byType[t]
	if !ok {
		return Descriptor{Type: t}, false
	}
	return *d, true
}

// Label is the descriptor's label, or the type itself if this binary does not know the
// type.
func (t Type) Label() string {
	if d, ok := byType[t]; ok {
		return d.Label
	}
	return string(t)
}

// Reads reports whether this binary knows the type and version.
func Reads(t Type, version int) bool {
	d, ok := byType[t]
	return ok && version >= 1 && version <= d.Version
}

// TypesWhere gives the types for whose descriptor fits returns true, in the order of
// [Registry].
func TypesWhere(fits func(Descriptor) bool) []Type {
	var types []Type
	for _, d := range registry {
		if fits(d) {
			types = append(types, d.Type)
		}
	}
	return types
}

// PublishedBy gives the types that a process may publish; see [Admin].
func PublishedBy(process string) []Type {
	return TypesWhere(func(d Descriptor) bool { return slices.Contains(d.Publishers, process) })
}

// ConsumedBy gives the types that a worker handles.
func ConsumedBy(worker string) []Type {
	return TypesWhere(func(d Descriptor) bool { return slices.Contains(d.Consumers, worker) })
}
