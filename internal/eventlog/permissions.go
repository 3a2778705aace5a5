package eventlog

import (
	"slices"

	"postern/internal/events"
)

// The processes, which are also the names of their NATS users.
const (
	API          = events.API
	FanoutWorker = events.FanoutWorker
	NotifyWorker = events.NotifyWorker
	Recorder     = events.Recorder
	Admin        = events.Admin
)

// Processes are all of them.
func Processes() []string { return []string{API, FanoutWorker, NotifyWorker, Recorder, Admin} }

// Permissions is what a NATS user may do, as subjects with wildcards.
type Permissions struct{ Publish, Subscribe []string }

// consumed lists the durable consumers that a process works through.
var consumed = map[string][]string{
	FanoutWorker: {FanoutBulk, FanoutDirect},
	NotifyWorker: {NotifyBulk, NotifyDirect},
}

// PermissionsOf gives what the NATS user of a process may do. No process but the
// admin may touch the stream itself: its deny flags do not hold against a change
// of its own configuration.
func PermissionsOf(process string) Permissions {
	if process == Admin {
		return Permissions{Publish: []string{">"}, Subscribe: []string{">"}}
	}
	p := Permissions{
		Publish: []string{
			"$JS.API.INFO",
			"$JS.API.STREAM.INFO." + Stream,
			"$JS.API.STREAM.MSG.GET." + Stream,
			"$JS.API.CONSUMER.INFO." + Stream + ".*",
		},
		Subscribe: []string{"_INBOX.>"},
	}
	for _, t := range events.PublishedBy(process) {
		p.Publish = append(p.Publish, t.Filter())
	}
	for _, consumer := range consumed[process] {
		p.Publish = append(p.Publish,
			"$JS.API.CONSUMER.MSG.NEXT."+Stream+"."+consumer,
			"$JS.ACK."+Stream+"."+consumer+".>",
			"$JS.ACK.*.*."+Stream+"."+consumer+".>") // the newer form, with domain and account
	}
	if process == Recorder { // reads through consumers of its own, see Log.Read
		for n := range readerNames {
			for _, call := range []string{"CREATE.", "MSG.NEXT.", "DELETE."} {
				p.Publish = append(p.Publish, "$JS.API.CONSUMER."+call+Stream+"."+readerName(n))
			}
		}
	}
	return p
}

// MayPublish tells whether a process may put events of a type on the record.
func MayPublish(process string, t events.Type) bool {
	return process == Admin || slices.Contains(events.PublishedBy(process), t)
}
