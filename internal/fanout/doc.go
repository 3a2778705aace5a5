// Package fanout expands one message.sent event into the deliveries of its audience:
// steps 4 and 5 of docs/life-of-a-message.md.
//
// First it freezes the audience: it writes one snapshot of the directory as a manifest
// to the content store, under the message's id, with create-only. From then on every
// worker reads the same manifest, after any crash, and publishes the same events with
// the same ids. Events that are already on the record change nothing.
//
//	freeze ── audience.resolved ── deliveries.created × chunks ── fanout.completed
//
// A manifest is the sequence of the bodies of the deliveries.created events, so
// expanding a message means reading it. Its digest covers the digests of those bodies:
// the events alone prove that they are the frozen audience.
//
// The worker stays only a few chunks ahead of the recorder, so that a small message sent
// during a large bulk message is recorded at once.
package fanout
