// Package eventlog keeps the record in a JetStream stream: it makes the stream and its
// consumers, publishes events, and reads them back in order. Package consume gives them to
// handlers.
//
// # Durability
//
// [Log.Publish] returns once JetStream has acknowledged, which a server with
// SyncAlways does after an fsync. An event's id is derived from its fact, so a
// publish whose answer was lost is repeated under the same id. Within the
// stream's deduplication window of two minutes JetStream drops the repeat; after
// it the recorder counts only the first.
//
// # Order
//
// [Log.Read] gives every event once, in the order of the stream, and reports a
// missing event.
//
// # Permissions
//
// Each process signs in to NATS as its own user. [PermissionsOf] lists that
// user's permissions: it publishes its own types of events and never changes the
// stream.
//
// Everything here is safe for concurrent use.
//
// # Size
//
// It is one package because it is one type: everything that a process does with the stream
// is a method of [Log]. What Watermill needs is in consume.
package eventlog
