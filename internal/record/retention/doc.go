// Package retention says for how many years content is kept, and destroys it when two
// people agree to.
//
// # The floor
//
// [Floor] years is what is promised. The setting may be longer; where it is shorter,
// the record says so, as it says of every change ([Retention.Declare]). Nothing here or
// elsewhere destroys the content of a message by itself, before the time or after.
// Events are never deleted at all.
//
// # Erasure
//
// One asks, with a reason ([Retention.Ask]); another, who managed staff before that was
// asked, agrees ([Retention.Approve]) or turns it down ([Retention.Withdraw]). Each is an
// event, and what the record makes of the events counts: of two who agree at once one
// does, and an approval of one's own request is parked, whoever published it. Then the
// keys of the content are destroyed, wherever copies of it may lie; see
// docs/security.md. A crash between the event and that leaves it to [Retention.Sweep],
// as does a backup of Postgres that brings the keys back.
//
// An Office is safe for concurrent use.
package retention
