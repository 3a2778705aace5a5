package recipients_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
	"postern/internal/notify/recipients"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Each chunk of a message has its own recipients, in order of portal user number, also where
// several chunks share a block.
func TestEachChunkHasItsRecipients(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	rapid.Check(t, func(rt *rapid.T) {
		nos := rapid.SliceOfNDistinct(rapid.Int32Range(1, 5*block.Size), 1, 3*block.Size, rapid.ID).Draw(rt, "recipients")
		slices.Sort(nos)
		chunks := slices.Collect(slices.Chunk(nos, rapid.IntRange(1, len(nos)).Draw(rt, "chunk size")))
		message := uuid.New()
		q := &pgx.Batch{}
		for i, chunk := range chunks {
			q.Queue(`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, $2, 1, $3, $4, $5, now())`,
				message, i, chunk[0], chunk[len(chunk)-1], len(chunk))
		}
		q.Queue(recordertest.Delivered(`SELECT $1::uuid, no, (row_number() OVER (ORDER BY no) - 1)::integer / $3, '{}'::integer[] FROM unnest($2::integer[]) no`),
			message, nos, len(chunks[0]))
		if err := pool.SendBatch(t.Context(), q).Close(); err != nil {
			rt.Fatal(err)
		}
		for i, want := range chunks {
			if got := recipientsOf(t, pool, message, i); !slices.Equal(got, want) {
				rt.Fatalf("chunk %d has the recipients %v, want %v", i, got, want)
			}
		}
	})
}

func recipientsOf(t *testing.T, pool *pgxpool.Pool, message uuid.UUID, chunk int) (nos []int32) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT i.block, i.members FROM record.chunks c`+recipients.Blocks+`
		WHERE c.message_id = $1 AND c.chunk = $2 ORDER BY i.block`, message, chunk)
	if err != nil {
		t.Fatal(err)
	}
	var b block.No
	var members []byte
	_, err = pgx.ForEachRow(rows, []any{&b, &members}, func() (err error) {
		nos, err = recipients.Append(nos, b, members)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return nos
}

// Bytes that are no set of members give an error.
func TestAppendRejectsWhatIsNoSet(t *testing.T) {
	t.Parallel()
	if nos, err := recipients.Append(nil, 1, []byte{3, 2}); !errors.Is(err, block.ErrForm) {
		t.Errorf("%v, %v", nos, err)
	}
}
