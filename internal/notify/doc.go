// Package notify tells portal users by e-mail that a message waits: step 7 of
// docs/life-of-a-message.md.
//
// The unit is the chunk. A chunk's alerts go out in one request of SendGrid, or
// in several where portal users share an address or SendGrid refuses some. Each
// request is claimed in app.attempts before it is made and its answer is written
// there after, so that what is known survives a crash: a claim without an answer
// is a request whose answer was never learned, and its recipients are unknown.
// They are alerted again by a replay alone: see package replay and parts.go.
//
//	claim committed ── request ── answer committed ── outcome published
//	   crash here: unknown        crash here: published by the next worker
//
// When every recipient of a chunk is accepted, failed, skipped or unknown, one
// alerts.* event says so. Waits of seconds happen in the handler; longer ones
// are rows of app.alert_work.
//
// Nothing of a message can reach an e-mail: this package sees portal user
// numbers, addresses and ids, and can't import content.
package notify
