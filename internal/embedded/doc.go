// Package embedded runs the two servers that `postern up` keeps to itself: a
// NATS server with JetStream inside this process, and a private PostgreSQL
// beside it on a unix socket.
//
// Both own a folder each and hold an exclusive lock on it for as long as they
// run, so that two processes never work on one folder; the lock goes with the
// process, also when that is killed. Neither ever deletes data.
//
// # Durability
//
// What either server has acknowledged survives a power cut: JetStream runs
// with SyncAlways, and [StartNATS] refuses to start without it; PostgreSQL runs
// with fsync and synchronous commits. [PostgresConfig.Unsafe] is for tests.
//
// # When this process dies
//
// JetStream dies with it and is found again as it was acknowledged. PostgreSQL
// lives on in a session of its own; the next [StartPostgres] over the folder
// takes it over where it can, or starts it again.
//
// All methods may be called concurrently.
package embedded
