// Package systemtest is the room of tests of the whole: which package may import which
// (layout), kills and faults of all processes (torture), what operators are told in each state
// (health), every route as every caller (routes), and what is stored in clear (secrets). It has no
// code of its own.
package systemtest
