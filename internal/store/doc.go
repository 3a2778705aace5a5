// Package store opens the database: connections under the role of a process,
// and the migrations that make the schema.
//
// Every process connects as the login user of DATABASE_URL and takes on the
// group role of its own ([Role]), so that the database itself refuses what the
// process has no business with. SQL is not here: each package keeps that of its
// own concept, through [github.com/jackc/pgx/v5/pgxpool].
//
// schema.sql is the migrated database in one file, for review; go generate keeps it true.
// To change the database, add a migration, run go generate ./internal/store, and read the
// difference.
//
// Services start in any order. [Open] waits for a database that is not there
// yet, [TryMigrate] brings the schema up to date where the login user may do
// that and waits for somebody who may where it may not.
//
// Everything here may be called concurrently, and from many processes at once.
package store
