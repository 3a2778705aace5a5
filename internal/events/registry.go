package events

import "slices"

// A Type is the name of a kind of event, in the past tense.
type Type string

// The processes, by the names that they have as users of NATS.
const (
	API          = "api"
	FanoutWorker = "fanout-worker"
	NotifyWorker = "notify-worker"
	Recorder     = "recorder"
	// Admin is `postern`: the only user that may make the stream. It may publish
	// every type, so no descriptor lists it.
	Admin = "admin"
)

// A Descriptor says what there is to know about one type of event. The permissions
// of NATS, the consumers, asyncapi.yaml, the table in doc.go, the pages of the record
// and its filter by type are made from it.
type Descriptor struct {
	Type Type
	// Version is that of the schema of new events. Events of every version from 1
	// on are read.
	Version int
	// Label is what people call the type, in a list or a filter.
	Label string
	// When says in a few words when it is published.
	When string
	// Publishers are the processes that may publish it, besides [Admin].
	Publishers []string
	// Consumers are the workers that handle it. The recorder takes every type.
	Consumers []string
	// Rows are the tables of the schema record that the recorder writes from it.
	// Without any, the recorder keeps the event and projects nothing.
	Rows []string
	// About says which people it refers to.
	About About
	// OfMessage says whether it belongs to a message.
	OfMessage Belonging
	// summary says what the actor did, and to whom. It does not look at the version.
	summary func(Event, Names) (string, error)
}

// About says which people an event refers to, and so where their ids are found.
type About int

// The values of [About].
const (
	AboutNoOne      About = iota // no one but its actor, who is staff or a process
	AboutActor                   // the portal user who is its actor
	AboutRecipients              // every recipient of its message
	AboutChunk                   // the recipients of the chunk that its headers name
	AboutNamed                   // the portal users whom its body names
	AboutStaff                   // the staff member whom its body names
)

// Belonging says whether the events of a type belong to a message.
type Belonging int

// The values of [Belonging].
const (
	NoMessage Belonging = iota
	OneMessage
	MaybeMessage // to one, or to none
)

// registry holds every type, in the order in which people read them.
var registry = slices.Concat(messageTypes, deliveryTypes, alertTypes, reportTypes, replayTypes, alertingTypes,
	parkedTypes, retentionTypes, accountTypes, directoryTypes, recordTypes)

var byType = func() map[Type]*Descriptor {
	index := make(map[Type]*Descriptor, len(registry))
	for i := range registry {
		index[registry[i].Type] = &registry[i]
	}
	return index
}()

// Registry gives the descriptor of every type, in the order in which people read
// them. Do not change the lists in it.
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

// Label is what people call the type; a type that this binary does not know is
// called by its name.
func (t Type) Label() string {
	if d, ok := byType[t]; ok {
		return d.Label
	}
	return string(t)
}

// Reads tells whether this binary knows the type and version.
func Reads(t Type, version int) bool {
	d, ok := byType[t]
	return ok && version >= 1 && version <= d.Version
}

// Where gives the types whose descriptor fits, in the order of [Registry].
func Where(fits func(Descriptor) bool) []Type {
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
	return Where(func(d Descriptor) bool { return slices.Contains(d.Publishers, process) })
}

// ConsumedBy gives the types that a worker handles.
func ConsumedBy(worker string) []Type {
	return Where(func(d Descriptor) bool { return slices.Contains(d.Consumers, worker) })
}
