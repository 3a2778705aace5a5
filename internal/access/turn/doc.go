// Package turn decides which password is checked next.
//
// Checking a password takes a processor for some twenty milliseconds and 19 MiB of memory, so
// only a few are checked at a time. Without an order, fifty people who guess passwords make
// everyone else wait for fifty checks.
//
// Each client that has a password checked belongs to a [Class]. A turn goes to the first class
// that has a client waiting. Within a class the clients take turns, one check each, in the order in
// which they came; but in a crowd, such as a flood from thousands of networks, the client that came
// last is next, so that a person need not wait for all of them. The class
// [Suspect] never takes the last free slot, and a crowd does not, so a client of a better class does
// not wait for their checks to end.
//
// [Failures] knows which networks have failed recently. A client whose network fails while it
// waits is moved: see [Turns.Demote].
//
// The number of clients that wait is limited, for each client and for each class. Where a class
// is full, the client with the most visits loses its newest one to a client that has fewer.
//
// The package does no I/O and reads no clock. Everything in it is safe for concurrent use.
package turn
