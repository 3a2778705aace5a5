// Package systemtest is the room of tests of the whole: which package may import which
// (layout), kills and faults of all processes (torture), and what operators are told in each
// state (health). It has no code of its own.
package systemtest
