// Package embedded runs the two private servers of `postern up`: a NATS server
// with JetStream inside this process, and a PostgreSQL server beside it on a unix
// socket.
//
// Each server owns a folder and holds an exclusive lock on it while it runs, so
// that two processes never use one folder. The lock ends with the process, even
// if that is killed. Neither server ever deletes data.
//
// # Durability
//
// Acknowledged data survives a power cut. JetStream runs with SyncAlways, and
// [StartNATS] refuses to start without it. PostgreSQL runs with fsync and
// synchronous commits. [PostgresConfig.Unsafe] is for tests.
//
// # When this process dies
//
// JetStream ends with it; all acknowledged data is there at the next start.
// PostgreSQL continues to run in its own session. The next [StartPostgres] over the
// folder takes it over if possible, or starts it again.
//
// All methods may be called concurrently.
package embedded
