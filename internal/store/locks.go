package store

// The keys of all Postgres advisory locks that we take, as SQL expressions. Processes of
// different versions meet at them during an upgrade, so a key never changes. The lock of the
// migrations is goose's own.
const (
	// LockRebuild keeps two rebuilds apart. It belongs to the session.
	LockRebuild = `31647739056321135::bigint` // 0x706f737465726f, "postero"
	// LockImport lets one import of the directory at a time compare and write. It belongs to
	// the transaction.
	LockImport = `hashtextextended('postern directory import', 0)`
	// lockOfLease is of the session that holds a term of a lease: $1 is the role, $2 the name.
	lockOfLease = `hashtextextended($1 || '/' || $2 || '/' || l.term, 0)`
)
