// Package directory reads patients, portal users and the links between them. It finds them
// for a recipient picker and for the pages, by words, ids and numbers. The words for finding
// a name are stored beside it; [FoldNames] keeps them current.
//
// Package audience computes who gets a message, on the rosters that packages roster and
// rosterstore keep of the directory. Package imports adds and changes patients, portal users and
// links; triggers then mark which rosters to make again. Nothing is ever deleted, so a number belongs to the same id
// forever.
//
// # Concurrency
//
// All functions may be called concurrently, each call with its own transaction.
package directory
