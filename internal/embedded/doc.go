// Package embedded runs the two private servers of `postern up`: this package a NATS server
// with JetStream inside this process, and package postgres a PostgreSQL server beside it on
// a unix socket.
//
// Each server owns a folder and holds an exclusive lock on it while it runs (package
// filelock), so that two processes never use one folder. Neither server ever deletes data.
//
// # Durability
//
// Acknowledged data survives a power cut. JetStream runs with SyncAlways, and
// [StartNATS] refuses to start without it.
//
// # When this process dies
//
// JetStream ends with it; all acknowledged data is there at the next start.
//
// All methods may be called concurrently.
package embedded
