// Package layout tests which package may import which. It has no code of its own:
// the table is in layout_test.go.
//
// compose, fanout, notify and recorder do not import each other: they exchange data only
// through the record. notify can't reach content, so an alert can't carry a message's
// content. events does no I/O. Processes are wired in one package, process.
package layout
