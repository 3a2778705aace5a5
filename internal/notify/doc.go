// Package notify sends portal users an e-mail (an alert) when they have a new message:
// step 7 of docs/life-of-a-message.md.
//
// The unit is the chunk. A chunk's alerts are sent in one request to SendGrid, or
// in several where portal users share an address or SendGrid refuses some. Each
// request is claimed in app.attempts before it is made, and its answer is stored
// there afterwards. After a crash, a claim without an answer means that the answer
// is not known, and the alerts of its recipients are unknown. Only a replay alerts
// them again: see package replay and parts.go.
//
//	claim committed ── request ── answer committed ── outcome published
//	   crash here: unknown        crash here: published by the next worker
//
// Each chunk has its own handler. In a blast the handlers meet in groups of eight (group.go), and a
// group needs the statements of one chunk:
//
//	handlers ── deliveries can be read ── gate: no failover is unsettled
//	         ── load: message, pause, recipients, claims, addresses   1 for eight chunks
//	         ── claim                                                 1 commit
//	         ── eight requests at once                                1 a chunk
//	         ── accepted answers                                      1 commit
//	         ── outcomes, of up to 32 chunks                          1 batch of the record
//
// Two groups are on their way at a time: a crash leaves the alerts of at most sixteen chunks
// unknown. A chunk with any other answer than acceptance leaves its group and goes on alone. If a
// step fails for a group, each of its chunks does the step alone, so that none fails because of
// another.
//
// When every recipient of a chunk is accepted, failed, skipped or unknown, one
// alerts.* event records that. A handler waits for seconds at most; longer waits are
// rows of app.alert_work.
//
// No content of a message can reach an e-mail: this package sees only portal user
// numbers, addresses and ids, and can't import content.
//
// # Size
//
// Plan, claim, request, halving and outcome of a chunk are one package, because each step
// relies on what the step before has stored.
package notify
