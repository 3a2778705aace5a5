// Package compose makes of a request one message.sent on the record: steps 1 to
// 3 of docs/life-of-a-message.md. It also takes a message back.
//
// # Order and durability
//
// A send goes through these commit points, each with what a crash after it
// leaves:
//
//  1. The claim: one transaction writes app.sends, which ties the sender's
//     idempotency key to a message id and its times, and app.message_content,
//     the sealed header and the key of all content. Nothing was sent.
//  2. The body, encrypted, in the content store. Nothing was sent.
//  3. message.sent, acknowledged by JetStream. It was sent.
//  4. The mark on the claim that says so: a repeat need not publish again.
//
// A retry with the same key finds the claim and goes on from wherever the first
// try stopped, with the same id, times, digests and so the same event: the
// record counts it once. Whatever depends on the directory is checked before the
// claim and never again.
//
// # What erases a message
//
// The header is sealed with the message's key and holds the wrapped keys of its
// attachments, so that deleting the row of app.message_content erases subject,
// names, body and attachments, once [Composer.Sweep] has dropped the uploads that
// they were sent from.
//
// # Who may take a message back
//
// Its sender, as long as they hold send_portal_message; to everybody else it is
// not there ([message.ErrNotFound]).
//
// A Composer is safe for concurrent use, also by several processes.
package compose
