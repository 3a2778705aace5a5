// Package record is the room of reading the record: finding and following events
// (query), writing them to files (export), and for how long content is kept
// (retention). Package recorder writes what is read here. It has no code of its own.
package record
