// Package eventlog is the record as a JetStream stream: how events get onto it,
// how they are read back in order, and how Watermill handlers work through it.
//
// # Durability
//
// [Log.Publish] returns once JetStream has acknowledged, which a server with
// SyncAlways does after an fsync. Event ids are those of the facts, so that a
// publish whose answer was lost is repeated under the same ids: within the
// stream's window of two minutes the repeat is dropped, beyond it the recorder
// counts the first alone.
//
// # Order
//
// [Log.Read] gives every event once, in the order of the stream, and says where
// one is missing. A [Subscriber] gives each at least once, in no order that
// could be relied upon, to as many handlers at a time as it has slots.
//
// # Who may do what
//
// Each process signs in to NATS as its own user. [PermissionsOf] is the list of
// what that user may do: publish its own types of events, never change the
// stream.
//
// Everything here may be called from many goroutines at once.
package eventlog
