package rotation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/directory/roster/rosterstore"
)

const (
	batch   = 200 // rows
	atATime = 8   // calls of the content store
)

// A table has wrapped keys in its column wrapped_key. The test of package rotation fails if a table
// with such a column is in no place.
type table struct{ name, table, id string }

// tables are those without copies in the content store. The documents of drafts come first, because
// the header of a message that is being sent takes their keys over.
var tables = []table{
	{"documents not sent yet", "app.attachments", "attachment_id"},
	{"drafts", "app.drafts", "draft_id"},
	{"wordings", "app.wordings", "wording_id"},
	{"second factors", "app.second_factors", "change_id"},
	{"imports", "app.directory_imports", "import_id"},
}

// A kept table has copies of its keys in the content store. Its rows and their copies stay equal.
type kept struct {
	table
	copies string // what the place of the copies is called
	name   func(uuid.UUID) content.Name
	list   func(*content.Store, context.Context) iter.Seq2[uuid.UUID, error]
	sealed string // the column that the key seals, or NULL
	// ofMessage: the record says whether the content was erased, and no copy may come back then.
	ofMessage bool
	header    bool // sealed is the header of a message
}

var keptTables = []kept{
	{table{"manifests", "app.manifest_keys", "message_id"}, "copies of the keys of manifests", content.ManifestKeysOf, (*content.Store).ManifestKeys, "NULL::bytea", true, false},
	{table{"messages", "app.message_content", "message_id"}, "copies of the keys of messages", content.KeysOf, (*content.Store).Copies, "sealed", true, true},
	{table{"keys of entries", "app.entry_keys", "id"}, "copies of the keys of entries", content.EntryKeyOf, (*content.Store).EntryKeys, "sealed", false, false},
}

// The places that are neither a table of wrapped keys nor copies of one.
const (
	ofDocuments = "documents of messages"
	rosterRows  = "rosters"
	bundleKeys  = "bundles of rosters"
	inBundles   = "rosters in bundles"
)

// pass goes over all places once.
type pass struct {
	*rotation
	rewrap bool

	mu     sync.Mutex
	places []*Place
}

func (r *rotation) newPass(rewrap bool) *pass { return &pass{rotation: r, rewrap: rewrap} }

func (p *pass) report() Report {
	r := Report{Keys: p.ids()}
	r.Primary, _ = p.file.Primary() // for the report only
	for _, place := range p.places {
		r.Places = append(r.Places, *place)
	}
	return r
}

func (p *pass) run(ctx context.Context) error {
	for _, t := range tables {
		if err := p.rows(ctx, kept{table: t, sealed: "NULL::bytea"}); err != nil {
			return err
		}
	}
	if err := p.rosters(ctx); err != nil {
		return err
	}
	for _, t := range keptTables {
		if err := p.rows(ctx, t); err != nil {
			return err
		}
		if err := p.copies(ctx, t); err != nil {
			return err
		}
	}
	return p.bundles(ctx)
}

// place returns the counts of a place.
func (p *pass) place(name string) *Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.places {
		if one.Name == name {
			return one
		}
	}
	one := &Place{Name: name, By: map[content.KeyID]int{}}
	p.places = append(p.places, one)
	return one
}

// wrap wraps a key again, if it must, and counts it. fresh is what is stored from now on.
func (p *pass) wrap(place *Place, ciphertext []byte, rewrap func() ([]byte, error)) (fresh []byte, err error) {
	fresh, err = rewrap()
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, content.ErrChanged) {
		place.Unreadable++
		return ciphertext, nil
	}
	if err != nil {
		return nil, err
	}
	if !p.rewrap {
		fresh = ciphertext
	}
	if !bytes.Equal(fresh, ciphertext) {
		place.Rewrapped++
	}
	if by, ok := content.WrappedBy(fresh); ok {
		place.By[by]++
	}
	return fresh, nil
}

// keys wraps the keys of a row or of its copy again.
func (p *pass) keys(place *Place, t kept, id uuid.UUID, k content.Keys) (fresh content.Keys, err error) {
	fresh = k
	fresh.WrappedKey, err = p.wrap(place, k.WrappedKey, func() ([]byte, error) { return p.Content.Rewrap(id, k.WrappedKey) })
	if err == nil && t.header {
		fresh.Sealed, err = p.header(t, id, fresh)
	}
	return fresh, err
}

// header seals the header of a message again if it has keys of documents that an old key wraps.
func (p *pass) header(t kept, id uuid.UUID, k content.Keys) ([]byte, error) {
	key, err := p.Content.Unwrap(id, k.WrappedKey)
	var h message.Header
	if err == nil {
		h, err = message.Open(key, k.Sealed)
	}
	if errors.Is(err, content.ErrChanged) {
		return k.Sealed, nil // counted with the key, or damaged
	}
	if err != nil {
		return nil, err
	}
	changed := false
	for i := range h.Attachments {
		a := &h.Attachments[i]
		fresh, err := p.wrap(p.place(ofDocuments), a.WrappedKey, func() ([]byte, error) { return p.Content.Rewrap(a.ID, a.WrappedKey) })
		if err != nil {
			return nil, err
		}
		changed = changed || !bytes.Equal(fresh, a.WrappedKey)
		a.WrappedKey = fresh
	}
	if !changed {
		return k.Sealed, nil
	}
	return h.Seal(key)
}

// row is a row with a key.
type row struct {
	id  uuid.UUID
	was content.Keys
}

// rows wraps the keys of a table again, in the order of their ids.
func (p *pass) rows(ctx context.Context, t kept) error {
	place := p.place(t.table.name)
	selected := fmt.Sprintf(`SELECT %s, wrapped_key, %s FROM %s WHERE %[1]s > $1 ORDER BY 1 LIMIT $2`, t.id, t.sealed, t.table.table)
	for last, done := uuid.Nil, 0; ; {
		found, err := p.selectRows(ctx, selected, last, batch)
		if err != nil {
			return fmt.Errorf("reading the keys of %s: %w", t.table.name, err)
		}
		if len(found) == 0 {
			return nil
		}
		if err := p.update(ctx, place, t, found); err != nil {
			return fmt.Errorf("storing the keys of %s: %w", t.table.name, err)
		}
		last, done = found[len(found)-1].id, done+len(found)
		p.tell(place.Name, done)
	}
}

func (p *pass) selectRows(ctx context.Context, sql string, args ...any) ([]row, error) {
	rows, err := p.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) (r row, err error) {
		return r, from.Scan(&r.id, &r.was.WrappedKey, &r.was.Sealed)
	})
}

// update stores the fresh keys of a batch with one statement. A row that another process changed
// in the meantime stays as it is, for the next pass.
func (p *pass) update(ctx context.Context, place *Place, t kept, found []row) error {
	var ids []uuid.UUID
	var was, fresh, sealed [][]byte
	for _, r := range found {
		now, err := p.keys(place, t, r.id, r.was)
		if err != nil {
			return err
		}
		if !equal(now, r.was) {
			ids, was, fresh, sealed = append(ids, r.id), append(was, r.was.WrappedKey), append(fresh, now.WrappedKey), append(sealed, now.Sealed)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := p.step("before keys in " + t.table.table + " are stored"); err != nil {
		return err
	}
	set, args := "wrapped_key = u.fresh", []any{ids, was, fresh}
	if t.header {
		set, args = set+", sealed = u.sealed", append(args, sealed)
	} else {
		args = append(args, make([][]byte, len(ids)))
	}
	_, err := p.Pool.Exec(ctx, fmt.Sprintf(`UPDATE %s t SET %s
		FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) AS u(id, was, fresh, sealed)
		WHERE t.%s = u.id AND t.wrapped_key = u.was`, t.table.table, set, t.id), args...)
	if err != nil {
		return err
	}
	return p.step("keys in " + t.table.table + " are stored")
}

func equal(a, b content.Keys) bool {
	return bytes.Equal(a.WrappedKey, b.WrappedKey) && bytes.Equal(a.Sealed, b.Sealed)
}

// copies makes the copies of a table's keys equal to their rows, which were wrapped again. A copy
// without its row, or with another data key, is wrapped again by itself.
func (p *pass) copies(ctx context.Context, t kept) error {
	place := p.place(t.copies)
	var ids []uuid.UUID
	done := 0
	flush := func() error {
		if len(ids) == 0 {
			return nil
		}
		if err := p.copyBatch(ctx, place, t, ids); err != nil {
			return fmt.Errorf("storing %s: %w", t.copies, err)
		}
		done += len(ids)
		p.tell(place.Name, done)
		ids = ids[:0]
		return nil
	}
	for id, err := range t.list(p.Content, ctx) {
		if err != nil {
			return err
		}
		if ids = append(ids, id); len(ids) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (p *pass) copyBatch(ctx context.Context, place *Place, t kept, ids []uuid.UUID) error {
	if err := p.deleteErased(ctx, t, ids); err != nil {
		return err
	}
	found, err := p.selectRows(ctx, fmt.Sprintf(`SELECT %s, wrapped_key, %s FROM %s WHERE %[1]s = ANY($1)`, t.id, t.sealed, t.table.table), ids)
	if err != nil {
		return err
	}
	rows := map[uuid.UUID]*content.Keys{}
	for i := range found {
		rows[found[i].id] = &found[i].was
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for _, id := range ids {
		group.Go(func() error { return p.copy(groupCtx, place, t, id, rows[id]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// An erasure that was recorded meanwhile may have deleted a copy before it was written again.
	return p.deleteErased(ctx, t, ids)
}

func (p *pass) copy(ctx context.Context, place *Place, t kept, id uuid.UUID, of *content.Keys) error {
	was, err := p.Content.FindKeys(ctx, t.name(id))
	if errors.Is(err, content.ErrNotFound) {
		return nil
	}
	if errors.Is(err, content.ErrChanged) {
		p.mu.Lock()
		defer p.mu.Unlock()
		place.Unreadable++
		return nil
	}
	if err != nil {
		return err
	}
	fresh, err := p.keys(place, t, id, was)
	if err != nil || !p.rewrap {
		return err
	}
	if of != nil && p.replaces(id, *of, fresh) {
		fresh = *of
	}
	if equal(fresh, was) {
		return nil
	}
	if err := p.step("before a copy is stored"); err != nil {
		return err
	}
	if err := p.Content.ReplaceKeys(ctx, t.name(id), fresh); err != nil {
		return err
	}
	return p.step("a copy is stored")
}

// replaces reports whether a row has the same data key as its copy, wrapped by the same key.
func (p *pass) replaces(id uuid.UUID, row, copied content.Keys) bool {
	by, _ := content.WrappedBy(row.WrappedKey)
	copiedBy, _ := content.WrappedBy(copied.WrappedKey)
	key, err := p.Content.Unwrap(id, row.WrappedKey)
	copiedKey, failed := p.Content.Unwrap(id, copied.WrappedKey)
	return by == copiedBy && err == nil && failed == nil && key == copiedKey
}

// deleteErased deletes the copies of those messages whose content was erased.
func (p *pass) deleteErased(ctx context.Context, t kept, ids []uuid.UUID) error {
	if !t.ofMessage || !p.rewrap {
		return nil
	}
	rows, err := p.Pool.Query(ctx, `SELECT message_id FROM record.erasures WHERE message_id = ANY($1) AND status = 'erased'`, ids)
	if err != nil {
		return err
	}
	erased, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	for _, id := range erased {
		if err := p.Content.Delete(ctx, t.name(id)); err != nil {
			return err
		}
	}
	return nil
}

// rosters encrypts the secrets of rosters again.
func (p *pass) rosters(ctx context.Context) error {
	place := p.place(rosterRows)
	for last, done := []byte{}, 0; ; {
		rows, err := p.Pool.Query(ctx, `SELECT root, secret FROM app.rosters WHERE root > $1 ORDER BY root LIMIT $2`, last, batch)
		if err != nil {
			return fmt.Errorf("reading the secrets of rosters: %w", err)
		}
		type secret struct{ Root, Sealed []byte }
		found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[secret])
		if err != nil {
			return fmt.Errorf("reading the secrets of rosters: %w", err)
		}
		if len(found) == 0 {
			return nil
		}
		var roots, was, fresh [][]byte
		for _, s := range found {
			now, err := p.wrap(place, s.Sealed, func() ([]byte, error) { return rosterstore.RewrapSecret(p.Content, s.Root, s.Sealed) })
			if err != nil {
				return err
			}
			if !bytes.Equal(now, s.Sealed) {
				roots, was, fresh = append(roots, s.Root), append(was, s.Sealed), append(fresh, now)
			}
		}
		if len(roots) > 0 {
			if err := p.storeSecrets(ctx, roots, was, fresh); err != nil {
				return fmt.Errorf("storing the secrets of rosters: %w", err)
			}
		}
		last, done = found[len(found)-1].Root, done+len(found)
		p.tell(place.Name, done)
	}
}

func (p *pass) storeSecrets(ctx context.Context, roots, was, fresh [][]byte) error {
	if err := p.step("before secrets of rosters are stored"); err != nil {
		return err
	}
	_, err := p.Pool.Exec(ctx, `UPDATE app.rosters r SET secret = u.fresh
		FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u(root, was, fresh) WHERE r.root = u.root AND r.secret = u.was`, roots, was, fresh)
	if err != nil {
		return err
	}
	return p.step("secrets of rosters are stored")
}

// bundles wraps the keys of bundles of rosters again, and writes a bundle again if it has secrets
// that an old key encrypted.
func (p *pass) bundles(ctx context.Context) error {
	keys, secrets := p.place(bundleKeys), p.place(inBundles)
	done := 0
	for id, err := range p.Content.RosterKeys(ctx) {
		if err != nil {
			return err
		}
		if err := p.copy(ctx, keys, kept{name: content.RosterKeysOf}, id, nil); err != nil {
			return fmt.Errorf("storing the key of bundle %s of rosters: %w", id, err)
		}
		if err := p.bundle(ctx, secrets, id); err != nil {
			return fmt.Errorf("storing bundle %s of rosters: %w", id, err)
		}
		done++
		p.tell(keys.Name, done)
	}
	return nil
}

func (p *pass) bundle(ctx context.Context, place *Place, id uuid.UUID) error {
	old := false
	err := rosterstore.EachSecret(ctx, p.Content, id, func(root, sealed []byte) error {
		fresh, err := p.wrap(place, sealed, func() ([]byte, error) { return rosterstore.RewrapSecret(p.Content, root, sealed) })
		old = old || !bytes.Equal(fresh, sealed)
		return err
	})
	switch {
	case errors.Is(err, content.ErrNotFound): // a crash left a key without its bundle
		return nil
	case errors.Is(err, content.ErrChanged):
		place.Unreadable++
		return nil
	case err != nil || !old:
		return err
	}
	if err := p.step("before a bundle is stored"); err != nil {
		return err
	}
	if err := rosterstore.RewrapBundle(ctx, p.Content, id); err != nil {
		return err
	}
	return p.step("a bundle is stored")
}

func (p *pass) tell(place string, done int) {
	if p.Progress != nil {
		p.Progress(place, done)
	}
}
