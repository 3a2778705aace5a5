// Package rotation replaces the key-encryption key: it wraps every data key again by a new key of
// the key file, and then removes the old ones. Bodies, documents and manifests are not rewritten.
//
// # Steps
//
//  1. The key file is copied aside, and a second key is added to it. The new key doesn't wrap yet:
//     a process that reads the file now knows both.
//  2. The new key becomes the primary one. Processes read the file again before they wrap, and when
//     a key doesn't open (see [content.KeyFile]).
//  3. A pass goes over all places (see [Check]), and wraps again what an old key wraps.
//  4. A request, or an import, that had wrapped a key before step 2 may store it after the pass.
//     So the passes are repeated after a time that is longer than any of these takes, until one
//     of them changes nothing.
//  5. The old keys are removed from the file, and the copy aside is deleted.
//
// After a crash in any step, the next call continues: the key file says which step it is. What is
// wrapped again is not touched, and everything can be read in between, because the file has both
// keys until step 5.
//
// # What has to be rewritten
//
// Three things are more than a wrapped key. The header of a message has the wrapped keys of its
// documents, so it is sealed again with the key of the message. The secrets of rosters are
// encrypted by the key-encryption key itself, so their rows are encrypted again. The bundles of
// rosters in the content store have these secrets too, so a bundle with an old one is written
// again, with its own key and under its name.
//
// Search words in addresses (content.SealWords) are stored nowhere. An address with words that the
// old key sealed finds nothing after step 5.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/store"
	"postern/internal/store/keyfile"
)

// Config has the dependencies and choices of a rotation.
type Config struct {
	// Pool connects as the owner of the database.
	Pool *pgxpool.Pool
	// Content has the key file and the copies of keys.
	Content *content.Store
	// Prepare ends after step 1: for installations in which each process has its own copy of the
	// key file.
	Prepare bool
	// KeepOld ends after the first pass of step 3, and leaves the old keys in the file.
	KeepOld bool
	// Wait is how long a change may take that began before the new key became the primary one.
	// Zero is right if no other process runs.
	Wait time.Duration
	// Progress is called with the name of a place, and with how many of its keys were visited.
	// It may be nil.
	Progress func(place string, done int)

	step func(what string) error // a test ends the rotation here
}

var (
	// ErrRunning says that another process rotates the key.
	ErrRunning = errors.New("another process is rotating the key: wait until it has ended")
	// ErrStillUsed says that keys are still wrapped by an old key after several passes.
	ErrStillUsed = errors.New("a process still wraps keys by an old key, so the old keys stay in the key file: " +
		"restart the processes that do not read this key file, and run this again")
)

// mostPasses is the number of passes of step 4 that may find something.
const mostPasses = 3

// rotation is one call of [Rotate].
type rotation struct {
	Config
	file *content.KeyFile
}

// Rotate rotates the key, or continues a rotation. It fails with [ErrRunning] or [ErrStillUsed].
// After every error everything can still be read.
func Rotate(ctx context.Context, c Config) (Report, error) {
	r := &rotation{c, c.Content.KeyFile()}
	if r.step == nil {
		r.step = func(string) error { return nil }
	}
	free, err := r.lock(ctx)
	if err != nil {
		return Report{}, err
	}
	defer free()
	report, err := r.run(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("rotating the content key: %w", err)
	}
	return report, nil
}

// lock lets one rotation at a time run.
func (r *rotation) lock(ctx context.Context) (free func(), err error) {
	conn, err := r.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("rotating the content key: %w", err)
	}
	var mine bool
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+store.LockKeyRotation+`)`).Scan(&mine)
	if err == nil && !mine {
		err = ErrRunning
	}
	if err != nil {
		conn.Release()
		return nil, err
	}
	return func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(`+store.LockKeyRotation+`)`)
		conn.Release()
	}, nil
}

func (r *rotation) run(ctx context.Context) (Report, error) {
	ended, err := r.add()
	if err == nil && ended {
		err = r.dropAside()
	}
	if err != nil || ended || r.Prepare {
		return Report{Keys: r.ids()}, err
	}
	if err := r.promote(); err != nil {
		return Report{}, err
	}
	report, err := r.pass(ctx)
	if err != nil {
		return Report{}, err
	}
	if r.KeepOld {
		return report, r.dropAside()
	}
	if err := r.wait(ctx); err != nil {
		return Report{}, err
	}
	for tries := 0; ; tries++ {
		again, err := r.pass(ctx)
		if err != nil {
			return Report{}, err
		}
		clean := again.Rewrapped() == 0
		report = report.after(again)
		if clean {
			break
		}
		if tries == mostPasses {
			return report, ErrStillUsed
		}
	}
	return report, r.remove(&report)
}

func (r *rotation) aside() string { return r.file.Path() + ".before-rotation" }

// add is step 1. If an earlier call was killed at the end of step 5, it reports that the rotation
// has ended.
func (r *rotation) add() (ended bool, err error) {
	ids, err := r.file.IDs()
	if err != nil {
		return false, err
	}
	before, err := content.ReadKeyFile(r.aside())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.copyAside(); err != nil {
			return false, err
		}
	case err != nil:
		return false, fmt.Errorf("reading what an earlier rotation kept: %w", err)
	default:
		was, err := before.IDs()
		if err != nil {
			return false, err
		}
		if len(ids) == 1 && !slices.Equal(was, ids) {
			return true, nil
		}
	}
	if len(ids) > 1 { // added by an earlier call, or by hand
		return false, nil
	}
	// A crash here leaves a copy of the file, and nothing else.
	if err := r.step("the file is copied aside"); err != nil {
		return false, err
	}
	if err := r.file.Add(); err != nil {
		return false, err
	}
	return false, r.step("the new key is added")
}

func (r *rotation) copyAside() error {
	data, err := keyfile.Read(r.file.Path())
	if err == nil {
		_, err = keyfile.Create(r.aside(), data)
	}
	if err != nil {
		return fmt.Errorf("copying the key file aside: %w", err)
	}
	return nil
}

// promote is step 2. The last key of the file is the new one.
func (r *rotation) promote() error {
	ids, err := r.file.IDs()
	if err != nil {
		return err
	}
	primary, err := r.file.Primary()
	if err != nil || primary == ids[len(ids)-1] {
		return err
	}
	if err := r.file.Promote(ids[len(ids)-1]); err != nil {
		return err
	}
	return r.step("the new key is the primary one")
}

// wait waits until no change is running that began before step 2, the last change of the file.
func (r *rotation) wait(ctx context.Context) error {
	info, err := os.Stat(r.file.Path())
	if err != nil {
		return err
	}
	select {
	case <-time.After(r.Wait - time.Since(info.ModTime())):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove is step 5. After a crash in between, only the copy aside is left.
func (r *rotation) remove(report *Report) error {
	primary, err := r.file.Primary()
	if err != nil {
		return err
	}
	if err := r.file.RemoveAllBut(primary); err != nil {
		return err
	}
	if err := r.step("the old keys are removed"); err != nil {
		return err
	}
	report.Keys = r.ids()
	return r.dropAside()
}

func (r *rotation) dropAside() error {
	if err := os.Remove(r.aside()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting the copy of the key file: %w", err)
	}
	return keyfile.Sync(r.aside())
}

func (r *rotation) ids() []content.KeyID {
	ids, _ := r.file.IDs() // for the report only
	return ids
}

// Check goes over all places and changes nothing.
func Check(ctx context.Context, c Config) (Report, error) {
	r := &rotation{Config: c, file: c.Content.KeyFile()}
	p := r.newPass(false)
	if err := p.run(ctx); err != nil {
		return Report{}, fmt.Errorf("looking for what each content key wraps: %w", err)
	}
	return p.report(), nil
}

func (r *rotation) pass(ctx context.Context) (Report, error) {
	p := r.newPass(true)
	if err := p.run(ctx); err != nil {
		return Report{}, err
	}
	return p.report(), nil
}
