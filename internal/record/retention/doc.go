// Package retention defines for how many years content is kept, and destroys content of a
// message when two people agree to it.
//
// # The floor
//
// Content is promised to be kept for [Floor] years. The setting may be longer. A shorter
// setting is recorded, like every change of it ([Retention.Declare]). No process destroys
// the content of a message automatically, before or after that time. Events are never
// deleted.
//
// # Erasure
//
// One staff member requests an erasure with a reason ([Retention.Request]). Another one, who
// had the permission before the request, approves it ([Retention.Approve]) or rejects it
// ([Retention.Withdraw]). Package twopeople says which two count. Each step is an event, and the projected state counts: if two
// staff members approve at once, one approval counts, and an approval of one's own request
// is parked, regardless of the publisher. Then the keys of the content are destroyed, for
// all copies of the content; see docs/security.md. After a crash between the event and the
// destruction, or a restored backup of Postgres with the keys, [Retention.Sweep] destroys
// them.
//
// A Retention is safe for concurrent use.
package retention
