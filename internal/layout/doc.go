// Package layout states which package may import which, and holds the code to
// it. It has no code of its own: the table is in layout_test.go.
//
// The record is all that passes between compose, fanout, notify and record: none
// of them knows that the others exist. Alerts carry nothing of a message because
// notify can't reach content. What can happen (events) is known without I/O, and
// everything is wired in one place.
package layout
