// Package systemtest is the room of tests of the whole: which package may import which
// (layout), kills and faults of all processes (torture), what operators are told in each state
// (health), every route as every caller (routes), what is stored in clear (secrets), and the Go
// client (client). It has no code of its own.
package systemtest
