package fanout

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// city is a directory of four blocks. Only portal user 300 has a discharged patient.
type city struct {
	t       *testing.T
	url     string
	admin   *pgxpool.Pool
	content *content.Store
}

func newCity(t *testing.T) *city {
	t.Helper()
	c := &city{t: t, url: storetest.New(t)}
	c.admin = storetest.Open(t, c.url, store.RoleAdmin)
	dir := t.TempDir()
	_, err := content.CreateKeyFile(filepath.Join(dir, "key"))
	must(t, err)
	c.content, err = content.Open(t.Context(), filepath.Join(dir, "content"), filepath.Join(dir, "key"))
	must(t, err)
	t.Cleanup(func() { _ = c.content.Close() })
	c.exec(`INSERT INTO app.portal_users (portal_user_id, name, active) SELECT 'pu-' || i, '', true FROM generate_series(1, 900) i;
		INSERT INTO app.patients (patient_id, status) SELECT 'pt-' || i, CASE i WHEN 300 THEN 'discharged' ELSE 'active' END FROM generate_series(1, 900) i;
		INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 900) i`)
	return c
}

func (c *city) exec(sql string, args ...any) {
	c.t.Helper()
	_, err := c.admin.Exec(c.t.Context(), sql, args...)
	must(c.t, err)
}

func (c *city) count(sql string) (n int) {
	c.t.Helper()
	must(c.t, c.admin.QueryRow(c.t.Context(), sql).Scan(&n))
	return n
}

// worker is a fan-out worker whose events are kept here.
type worker struct {
	*Worker
	sent []events.Event
}

// worker returns a worker on a pool, nil for one of its own. It publishes nothing if lost.
func (c *city) worker(pool *pgxpool.Pool, lost bool) *worker {
	c.t.Helper()
	if pool == nil {
		pool = storetest.Open(c.t, c.url, store.RoleFanout)
	}
	w := &worker{}
	w.Worker = New(Config{Pool: pool, Content: c.content, Facts: facts.Publisher{Send: func(_ context.Context, all ...events.Event) (uint64, error) {
		if lost {
			return 0, errors.New("NATS is away")
		}
		w.sent = append(w.sent, all...)
		return 1, nil
	}}})
	return w
}

func messageTo(t *testing.T, recipients events.Selection) events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", time.Now(), events.MessageSent{MessageID: uuid.New(), Hold: events.HoldNone, Recipients: recipients})
	must(t, err)
	return e
}

var discharged = events.Selection{PortalUserIDs: []string{}, Groups: []string{"discharged_patients"}}

// resolved returns what a worker has published: the audience, after it has compared it with its
// deliveries and its state of the directory.
func (c *city) resolved(w *worker) (events.AudienceResolved, roster.State) {
	c.t.Helper()
	a, err := events.Decode[events.AudienceResolved](w.sent[0])
	must(c.t, err)
	if w.sent[0].Version != 2 {
		c.t.Fatalf("%s is of version %d", w.sent[0].Data, w.sent[0].Version)
	}
	state := c.stateOf(a)
	count := 0
	for _, e := range w.sent {
		if !e.IsByBlock() {
			continue
		}
		body, err := events.Decode[events.DeliveriesByBlock](e)
		must(c.t, err)
		for _, b := range body.Blocks {
			count += b.Members.Count()
			if at, found := state.Find(b.No); !found || state[at].Root != b.Roster || body.Day.Format(time.DateOnly) != a.Day {
				c.t.Errorf("block %d of the deliveries is not in the state of the directory", b.No)
			}
		}
	}
	if count != a.Count {
		c.t.Errorf("%d deliveries, and an audience of %d", count, a.Count)
	}
	return a, state
}

func (c *city) stateOf(a events.AudienceResolved) roster.State {
	c.t.Helper()
	state, err := cited.State(c.t.Context(), c.admin, digestOf(c.t, a))
	must(c.t, err)
	return state
}

func digestOf(t *testing.T, a events.AudienceResolved) roster.Digest {
	t.Helper()
	digest, err := roster.ParseName(a.Directory)
	must(t, err)
	return digest
}

// The audience of a group cites all blocks of the directory, once for each state. The content store
// has a copy of the state, and of the rosters with recipients alone.
func TestTheAudienceCitesTheWholeDirectory(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	w := c.worker(nil, false)
	must(t, w.HandleSent(t.Context(), messageTo(t, discharged), true))
	first, state := c.resolved(w)
	if len(state) != 4 || first.Count != 1 {
		t.Errorf("%d blocks of %+v", len(state), first)
	}
	var roots [][]byte
	for i := range state {
		roots = append(roots, state[i].Root[:])
	}
	var stored, copied int
	must(t, c.admin.QueryRow(t.Context(), `SELECT count(*), count(kept) FROM app.rosters WHERE root = ANY($1)`, roots).Scan(&stored, &copied))
	if stored != 4 || copied != 1 {
		t.Errorf("%d rosters are stored, %d copied; want 4, 1", stored, copied)
	}
	_, err := w.rosters.Pass(t.Context())
	must(t, err)
	states := func() int { return c.count(`SELECT count(*) FROM app.directory_states WHERE copied`) }
	for _, change := range []struct {
		sql    string
		states int
		first  bool
	}{{`SELECT`, 1, true}, {`UPDATE app.portal_users SET active = false WHERE portal_user_no = 800`, 2, false}, {`UPDATE app.portal_users SET active = true WHERE portal_user_no = 800`, 2, true}} {
		c.exec(change.sql)
		w.sent = nil
		must(t, w.HandleSent(t.Context(), messageTo(t, discharged), true))
		if a, _ := c.resolved(w); states() != change.states || (a.Directory == first.Directory) != change.first {
			t.Errorf("after %s there are %d states, and %s is cited", change.sql, states(), a.Directory)
		}
	}

	// Postgres loses everything, also what it names; the content store has the states.
	c.exec(`DELETE FROM app.block_rosters; DELETE FROM app.rosters; DELETE FROM app.roster_facts; DELETE FROM app.roster_names; DELETE FROM app.directory_states`)
	for range 2 {
		must(t, rosterstore.Restore(t.Context(), w.Pool, c.content))
		if diff := cmp.Diff(state, c.stateOf(first)); diff != "" || states() != 2 {
			t.Errorf("%d states are restored (-before +restored):\n%s", states(), diff)
		}
	}

	// The content store has lost them, and the same state is cited again.
	c.content = newCity(t).content
	c.exec(`UPDATE app.directory_states SET copied = false; UPDATE app.rosters SET kept = NULL`)
	w = c.worker(nil, false)
	must(t, w.HandleSent(t.Context(), messageTo(t, discharged), true))
	again, _ := c.resolved(w)
	if _, err := c.content.Directory(t.Context(), digestOf(t, again)); err != nil {
		t.Error(err)
	}
}

// A message to chosen people cites no directory, and neither does a manifest of before: the worker
// that goes on publishes version 1, which the manifest's digest does not change.
func TestAudiencesThatCiteNoDirectory(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	w := c.worker(nil, false)
	must(t, w.HandleSent(t.Context(), messageTo(t, events.Selection{PortalUserIDs: []string{"pu-5"}, Groups: []string{}}), false))
	if w.sent[0].Version != 1 || c.count(`SELECT count(*) FROM app.directory_states`) != 0 {
		t.Errorf("it publishes version %d, %s", w.sent[0].Version, w.sent[0].Data)
	}

	e := messageTo(t, discharged)
	key, err := w.manifestKey(t.Context(), e.MessageID)
	must(t, err)
	r, pipe := io.Pipe()
	go func() {
		m, err := newManifestWriter(pipe, e.MessageID, nil)
		if err == nil {
			b := events.CitedBlock{No: 1, Roster: events.NewNonce()}
			b.Members.Add(49)
			err = m.addBlocks(events.DeliveriesByBlock{MessageID: e.MessageID, Day: time.Now(), Groups: discharged.Groups, Selection: discharged.Digest()}, []events.CitedBlock{b})
		}
		if err == nil {
			_, err = m.close(map[string]int{"discharged_patient": 1}, map[string]int{})
		}
		pipe.CloseWithError(err)
	}()
	_, err = c.content.Create(t.Context(), content.ManifestOf(e.MessageID), key, r)
	must(t, err)
	w.sent = nil
	must(t, w.HandleSent(t.Context(), e, true))
	if a, err := events.Decode[events.AudienceResolved](w.sent[0]); err != nil || w.sent[0].Version != 1 || a.Count != 1 || a.Directory != "" || a.Day != "" {
		t.Errorf("it publishes version %d, %s (%v)", w.sent[0].Version, w.sent[0].Data, err)
	}
}

// A worker crashes before any statement of the freeze, and before it publishes. The directory
// changes, and the next worker publishes an audience with the state on which it was evaluated: the
// one of the manifest, if there is one.
func TestACrashWhileTheDirectoryIsCited(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	change := func() { c.exec(`UPDATE app.portal_users SET active = NOT active WHERE portal_user_no > 700`) }
	manifests := 0
	for n := 1; ; n++ {
		count := 0
		killed := rosterstoretest.Hooked(t, c.url, store.RoleFanout, func(string) error {
			if count++; count >= n {
				return errors.New("killed")
			}
			return nil
		})
		e := messageTo(t, discharged)
		if err := c.worker(killed, true).HandleSent(t.Context(), e, true); err == nil {
			t.Fatal("it was not killed")
		}
		killed.Close()
		before, err := c.worker(nil, true).summary(t, e)
		if err == nil {
			manifests++
		}
		change()
		w := c.worker(nil, false)
		must(t, w.HandleSent(t.Context(), e, true))
		if after, _ := c.resolved(w); err == nil && (after.Directory != before.Directory || after.ManifestDigest != before.Digest) {
			t.Errorf("killed before statement %d, it publishes %+v of the manifest %+v", n, after, before)
		}
		if n > count {
			break
		}
	}
	if manifests != 1 {
		t.Errorf("%d crashes left a manifest", manifests)
	}
}

// summary reads the manifest of a message.
func (w *worker) summary(t *testing.T, e events.Event) (Summary, error) {
	key, err := w.manifestKey(t.Context(), e.MessageID)
	must(t, err)
	return w.frozen(t.Context(), e.MessageID, key)
}

// Two workers freeze one message, one before and one after an import. Both publish the audience of
// the first manifest, with its state of the directory.
func TestTwoWorkersCiteOneDirectory(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	for range 5 {
		e := messageTo(t, discharged)
		one, other := c.worker(nil, false), c.worker(nil, false)
		var all sync.WaitGroup
		for _, w := range []*worker{one, other} {
			all.Go(func() {
				if err := w.HandleSent(t.Context(), e, true); err != nil {
					t.Error(err)
				}
			})
			c.exec(`UPDATE app.portal_users SET active = NOT active WHERE portal_user_no > 700`)
		}
		all.Wait()
		_, _ = c.resolved(one)
		_, _ = c.resolved(other)
		if !slices.EqualFunc(one.sent, other.sent, func(a, b events.Event) bool { return a.ID == b.ID && string(a.Data) == string(b.Data) }) {
			t.Errorf("the workers publish %s and %s", one.sent[0].Data, other.sent[0].Data)
		}
	}
}

// The directory changes while it is frozen, and the rosters that were current, which are old, are
// deleted: before each statement of the freeze. The audience that is published cites rosters that
// are stored, at the latest when the message is tried again.
func TestRostersAreDeletedWhileTheyAreFrozen(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	sweeping := c.worker(nil, false).rosters
	again := 0
	for n := 1; ; n++ {
		// All rosters are other ones than before, current, old and not cited.
		c.exec(`UPDATE app.links SET valid_until = coalesce(valid_until, '2030-01-01') + 1`)
		must(t, sweeping.Finish(t.Context()))
		c.exec(`UPDATE app.rosters SET made_at = made_at - interval '2 days'`)
		count, inTransaction := 0, false
		var beside sync.WaitGroup
		pool := rosterstoretest.Hooked(t, c.url, store.RoleFanout, func(sql string) error {
			if count++; count == n {
				c.exec(`UPDATE app.links SET valid_until = valid_until + 1`)
				remove := func() {
					if err := sweeping.Finish(t.Context()); err != nil {
						t.Error(err)
					}
					if _, err := sweeping.Sweep(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if inTransaction { // it may wait for this one
					beside.Go(remove)
				} else {
					remove()
				}
			}
			inTransaction = sql != "commit" && (inTransaction || sql == "begin isolation level read committed")
			return nil
		})
		w := c.worker(pool, false)
		e := messageTo(t, discharged)
		err := w.HandleSent(t.Context(), e, true)
		beside.Wait()
		if errors.Is(err, cited.ErrDamaged) {
			again++
			err = w.HandleSent(t.Context(), e, true)
		}
		must(t, err)
		_, state := c.resolved(w)
		roots := make([]roster.Digest, len(state))
		for i := range state {
			roots[i] = state[i].Root
		}
		if found, err := cited.Whole(t.Context(), c.admin, roots); err != nil || len(found) != len(roots) {
			t.Errorf("with a sweep before statement %d, the audience cites %d rosters that are gone (%v)", n, len(roots)-len(found), err)
		}
		pool.Close()
		if count < n {
			break
		}
	}
	if again == 0 {
		t.Error("no roster was deleted while it was frozen")
	}
}
