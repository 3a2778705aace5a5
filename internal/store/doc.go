// Package store opens the database: connections with the role of a process, and the
// migrations that make the schema.
//
// Every process connects as the login user of DATABASE_URL and sets its own group role
// ([Role]), so that the database refuses everything that the process must not do. SQL is not
// here: each package has the SQL of its own concept, through
// [github.com/jackc/pgx/v5/pgxpool].
//
// schema.sql is the migrated database in one file, for review; go generate keeps it true.
// To change the database, add a migration, run go generate ./internal/store, and read the
// difference.
//
// Services start in any order. [Open] waits for a database that does not answer yet.
// [TryMigrate] migrates the schema if the login user may; otherwise it waits until another
// process has.
//
// Everything here is safe for concurrent use, also by several processes.
package store
