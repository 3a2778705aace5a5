// Package abuse attacks a running `postern up` as an outsider, and as a signed-in person, over
// loopback. It contains only tests.
//
// Each attack goes on while other people use the system: their requests must succeed. The memory
// of the process must stay under 400 MiB. How long the others wait is measured and logged, and
// never a failure, because it depends on what else the machine does; that guesses of passwords
// delay no one is shown without a clock, in package access/turn.
package abuse
