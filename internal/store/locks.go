package store

// The keys of all Postgres advisory locks that we take, as SQL expressions. During an upgrade,
// processes of different versions use them, so a key never changes. The lock of the migrations
// is goose's own.
const (
	// LockRebuild allows one rebuild at a time. It belongs to the session.
	LockRebuild = `31647739056321135::bigint` // 0x706f737465726f, "postero"
	// LockImport lets one import of the directory at a time compare and write. It belongs to
	// the transaction.
	LockImport = `hashtextextended('postern directory import', 0)`
	// LockRosters lets one pass at a time make the rosters of the directory. It belongs to the
	// transaction.
	LockRosters = `hashtextextended('postern directory rosters', 0)`
	// LockKeyRotation lets one rotation of the content key at a time run. It belongs to the session.
	LockKeyRotation = `hashtextextended('postern content key rotation', 0)`
	// lockOfLease is held by the session with a term of a lease: $1 is the role, $2 the name.
	lockOfLease = `hashtextextended($1 || '/' || $2 || '/' || l.term, 0)`
)
