// Package fanout turns one message.sent into the deliveries of its audience:
// steps 4 and 5 of docs/life-of-a-message.md.
//
// The audience is frozen first: one snapshot of the directory becomes a manifest
// in the content store, under the message's id, create only. From then on every
// worker, after whatever crash, reads the same manifest and so publishes the
// same events under the same ids; those that stand on the record already change
// nothing.
//
//	freeze ── audience.resolved ── deliveries.created × chunks ── fanout.completed
//
// A manifest is the bodies of the deliveries.created events one after the other,
// so expanding is reading. Its digest is over the digests of those bodies: the
// events alone prove that they are the audience that was frozen.
//
// The worker keeps a few chunks ahead of the recorder and no more, so that a
// small message sent in the middle of a large blast is recorded at once.
package fanout
