package eventlog

import (
	"slices"

	"postern/internal/events"
)

// Processes gives the names of all processes.
func Processes() []string {
	return []string{events.API, events.FanoutWorker, events.NotifyWorker, events.Recorder, events.Admin}
}

// Permissions are the subjects, with wildcards, that a NATS user may use.
type Permissions struct{ Publish, Subscribe []string }

// consumed lists the durable consumers that each process fetches from.
var consumed = map[string][]string{
	events.FanoutWorker: {FanoutBulk, FanoutDirect},
	events.NotifyWorker: {NotifyBulk, NotifyDirect},
}

// PermissionsOf gives the permissions of a process's NATS user. Only the admin may
// change the stream: the stream's deny flags don't protect it from a change of its
// own configuration.
func PermissionsOf(process string) Permissions {
	if process == events.Admin {
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
	if process == events.Recorder { // Log.Read makes consumers for it
		for n := range readerNames {
			for _, call := range []string{"CREATE.", "MSG.NEXT.", "DELETE."} {
				p.Publish = append(p.Publish, "$JS.API.CONSUMER."+call+Stream+"."+readerName(n))
			}
		}
	}
	return p
}

// MayPublish reports whether a process may publish events of a type.
func MayPublish(process string, t events.Type) bool {
	return process == events.Admin || slices.Contains(events.PublishedBy(process), t)
}
