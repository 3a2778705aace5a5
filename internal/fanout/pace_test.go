package fanout_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/pace"
	"postern/internal/recorder"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Beside small work, a batch of chunks is published once the batch before it is recorded: a small
// message never waits for more than one.
func TestBesideSmallWorkABatchWaitsForTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	if _, err := content.CreateKeyFile(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	kept, err := content.Open(t.Context(), filepath.Join(dir, "content"), filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	url, log := storetest.New(t), eventlogtest.Start(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	// One portal user in each of 3,300 blocks: 33 chunks, in three batches.
	if _, err := admin.Exec(t.Context(), `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, active) OVERRIDING SYSTEM VALUE
		SELECT 250 * i + 1, 'pu-' || i, '', true FROM generate_series(0, 3299) i`); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleRecorder)
	record := recordertest.Start(t, log, pool, recorder.New(recorder.Config{Log: log, Pool: pool}).Run)
	sent := recordertest.Facts(t, recordertest.SentTo(uuid.New(), events.HoldNone, "all_portal_users"))[0]
	record.Says(t, sent)

	p, published := &pace.Pace{}, []uint64{}
	w := fanout.New(fanout.Config{Pool: storetest.Open(t, url, store.RoleFanout), Position: record.Watcher, Content: kept, Pace: p,
		Facts: facts.Publisher{Clock: time.Now, Send: func(ctx context.Context, batch ...events.Event) (uint64, error) {
			p.Small()
			var recorded uint64
			if err := admin.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&recorded); err != nil {
				return 0, err
			}
			if n := len(published); n > 0 && recorded < published[n-1] {
				t.Errorf("batch %d is published while the record is at %d, and the batch before it ends at %d", n, recorded, published[n-1])
			}
			seq, err := log.Publish(ctx, batch...)
			published = append(published, seq)
			return seq, err
		}}})
	if err := w.HandleSent(t.Context(), sent, true); err != nil {
		t.Fatal(err)
	}
	if len(published) != 3 {
		t.Errorf("the message is published in %d batches", len(published))
	}
}
