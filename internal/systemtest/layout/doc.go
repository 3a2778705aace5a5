// Package layout tests which package may import which. It has no code of its own:
// the table is in layout_test.go.
//
// compose, fanout, notify and recorder do not import one another: the record is all
// that passes between them. notify can't reach content, so an alert can't carry what a
// message says. events does no I/O. Processes are wired in one package, process.
package layout
