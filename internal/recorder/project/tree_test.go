package project

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A database from before there was a tree gets the same tree, all at once: a crash in the
// middle leaves none, and the next start builds it. An existing tree is not changed.
func TestAMissingTreeIsBuilt(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	conn := recordertest.Connect(t, pool)
	m := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	project(t, conn, recordertest.Facts(t, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2), recordertest.Chunk(m, 1, 3), recordertest.OutcomeOf(m, 0, 2, events.AlertAccepted)), 3)
	want := hashesOf(t, conn)
	if len(want) != 7 { // of four leaves
		t.Fatalf("the tree has %d hashes", len(want))
	}
	before := func() {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `TRUNCATE hashes`); err != nil {
			t.Fatal(err)
		}
	}

	before()
	if err := crashing(t, conn); err == nil {
		t.Fatal("it did not crash")
	}
	if left := hashesOf(t, conn); len(left) != 0 {
		t.Errorf("a crash in the middle left %d hashes", len(left))
	}
	for range 2 { // at its next start, and at the one after that
		if err := BuildTree(t.Context(), conn, conn, 4); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, hashesOf(t, conn)); diff != "" {
			t.Errorf("(-grown +built):\n%s", diff)
		}
	}

	// It then grows like a tree that existed from the start.
	p, err := Prepare(merkle.Stored{Seq: 5, Subject: "x", Data: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAgain(t.Context(), conn, 4, []*Prepared{p}); err != nil {
		t.Fatal(err)
	}
	tree, err := merkle.TreeAt(5, merklestore.Hashes(t.Context(), conn, "hashes"))
	if err != nil {
		t.Fatal(err)
	}
	leaves := &merkle.Tree{}
	for _, leaf := range leavesOf(t, conn) {
		leaves.Append([32]byte(leaf))
	}
	if tree.Root() != leaves.Root() {
		t.Error("the built tree does not grow")
	}
	// A record without events needs no tree.
	before()
	if err := BuildTree(t.Context(), conn, conn, 0); err != nil || len(hashesOf(t, conn)) != 0 {
		t.Errorf("a tree was built without events: %v", err)
	}
}

// crashing builds a tree in a database that fails at the last hash.
func crashing(t *testing.T, conn *pgx.Conn) error {
	t.Helper()
	if _, err := conn.Exec(t.Context(), `CREATE FUNCTION pg_temp.crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'crashed'; END $$;
		CREATE TRIGGER crash BEFORE INSERT ON hashes FOR EACH ROW WHEN (NEW.idx = 6) EXECUTE FUNCTION pg_temp.crash()`); err != nil {
		t.Fatal(err)
	}
	err := BuildTree(t.Context(), conn, conn, 4)
	_, dropped := conn.Exec(context.WithoutCancel(t.Context()), `DROP TRIGGER crash ON hashes`)
	if dropped != nil {
		t.Fatal(errors.Join(err, dropped))
	}
	return err
}

func hashesOf(t *testing.T, conn *pgx.Conn) [][]byte {
	t.Helper()
	return column(t, conn, `SELECT hash FROM hashes ORDER BY idx`)
}

func leavesOf(t *testing.T, conn *pgx.Conn) [][]byte {
	t.Helper()
	return column(t, conn, `SELECT leaf FROM events ORDER BY seq`)
}

func column(t *testing.T, conn *pgx.Conn, sql string) [][]byte {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	return all
}
