// Package systemtest is the room of tests of the whole: which package may import which
// (layout), and kills and faults of all processes (torture). It has no code of its own.
package systemtest
