package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/embedded"
	"postern/internal/embedded/postgres"
	"postern/internal/eventlog"
)

// A Part is a part of a data folder that can't be made again without a loss.
type Part string

// The parts, in the order in which they are made.
const (
	ContentKey    Part = "content.key"
	CheckpointKey Part = "checkpoint.key"
	Postgres      Part = "postgres"
	NATS          Part = "nats"
	Content       Part = "content"
	Archive       Part = "archive"
)

// Parts returns all parts, in the order in which they are made.
func Parts() []Part { return []Part{ContentKey, CheckpointKey, Postgres, NATS, Content, Archive} }

// losses describes the loss of each part and what to do.
var losses = map[Part]string{
	ContentKey: "the key of all content. Restore it from its backup, or give another path with CONTENT_KEY_FILE. " +
		"Without it no earlier message, document or draft can be read again, and second factors must be set up again; the record stays complete.",
	CheckpointKey: "the key that signs the record. Restore it from its backup, or give another path with CHECKPOINT_KEY_FILE. " +
		"Without it a new key must sign from now on; earlier signatures stay valid under the old key's verifier.",
	Postgres: "the database. Restore it from a backup. Without one the tables of the record are rebuilt from nats/. The rest is lost: the names and addresses of " +
		"the directory (import it again), staff accounts, passwords, API tokens, sessions, drafts, wordings, marks of unread messages and plans of replays. Alerts without an outcome become unknown.",
	NATS: "the stream of the record. `postern repair` restores it from the copy in postgres/. " +
		"The last events are lost if the copy did not have them yet.",
	Content: "the encrypted messages, documents and audiences. Restore it from a backup, or give another place with CONTENT_URL. " +
		"Without it no earlier message or document can be read again; the record still proves which messages were sent.",
	Archive: "the signed checkpoints and segments outside of the stores. Restore it from a backup, or give another place with ARCHIVE_URL. " +
		"Without it they are written again from postgres/, and then nothing outside the database confirms them.",
}

// LostError is the error if parts of a data folder are lost. Nothing was made to replace
// them.
type LostError struct {
	Folder string
	Lost   []Part
}

// Error implements error. It lists the missing parts with the meaning of each loss and what
// to do.
func (e *LostError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "parts of the data folder %s are missing, and nothing was made to replace them:\n", e.Folder)
	for _, p := range e.Lost {
		fmt.Fprintf(&b, "  %s: %s\n", p, losses[p])
	}
	b.WriteString(e.advice())
	return b.String()
}

// advice returns the commands to run if there is no backup.
func (e *LostError) advice() string {
	if slices.Contains(e.Lost, Postgres) && slices.Contains(e.Lost, NATS) {
		return "Without postgres and nats there is no record: restore one of the two from a backup. To start a new system, give another folder with --data."
	}
	var without, verbs []string
	for _, p := range e.Lost {
		if p != NATS {
			without = append(without, "--without "+string(p))
		}
	}
	if len(without) > 0 {
		verbs = append(verbs, fmt.Sprintf("`postern recover %s --data %s`", strings.Join(without, " "), e.Folder))
	}
	if slices.Contains(e.Lost, NATS) {
		verbs = append(verbs, fmt.Sprintf("`postern repair --data %s`", e.Folder))
	}
	return "Restore the parts that you have a backup of. To continue without the others, run " + strings.Join(verbs, " and then ") + "."
}

// keeps reports whether the part is stored in the folder, and not in another place that the
// environment sets.
func (f *Folder) keeps(p Part) bool {
	switch p {
	case ContentKey:
		return f.ContentKeyFile() == f.join(string(p))
	case CheckpointKey:
		return f.CheckpointKeyFile() == f.join(string(p))
	case Content:
		return f.ContentURL() == f.join(string(p))
	case Archive:
		return f.ArchiveURL() == f.join(string(p))
	default:
		return true
	}
}

// has reports whether the part exists. It may be damaged.
func (f *Folder) has(p Part) (bool, error) {
	path := f.join(string(p))
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for %s: %w: make the user that runs postern its owner", path, err)
	case info.IsDir() == (p == ContentKey || p == CheckpointKey):
		want := map[bool]string{true: "a file", false: "a folder"}[info.IsDir()]
		return false, fmt.Errorf("%s is not %s: move it away, and restore the right one from a backup", path, want)
	}
	switch p {
	case Postgres:
		return postgres.HasCluster(path)
	case NATS:
		return embedded.HasStream(path, eventlog.Stream)
	default:
		return true, nil
	}
}

// missing returns those of the parts that the folder should have and does not have.
func (f *Folder) missing(among []Part) ([]Part, error) {
	var all []Part
	for _, p := range among {
		if !f.keeps(p) {
			continue
		}
		if there, err := f.has(p); err != nil {
			return nil, err
		} else if !there || f.manifest != nil && slices.Contains(f.manifest.Recovering, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// lost returns the parts that existed and are missing now. For a folder without a manifest,
// [Stores.lost] also uses the database.
func (f *Folder) lost() ([]Part, error) {
	switch {
	case f.manifest == nil:
		known, err := f.derive()
		if err != nil {
			return nil, err
		}
		return f.missing(known)
	case f.manifest.State == making:
		return nil, nil
	default:
		return f.missing(Parts())
	}
}

// derive returns the parts that a folder without a manifest must have had, derived from the
// existing ones. The versions without manifests made the keys first, then the database, then
// the stream, and the content and the archive once they served.
func (f *Folder) derive() ([]Part, error) {
	var had []Part
	for _, p := range []Part{Archive, Content, NATS, Postgres} { // the latest first
		there, err := f.has(p)
		if there && (p == Content || p == Archive) {
			there, err = f.holdsBlobs(p)
		}
		if err != nil {
			return nil, err
		}
		if there {
			before := Parts()[:slices.Index(Parts(), p)]
			if p == Archive {
				before = Parts()[:slices.Index(Parts(), Content)] // a message may never have been sent
			}
			had = append(had, before...)
			break
		}
	}
	return had, nil
}

// holdsBlobs reports whether the folder of the content or the archive has any entries.
func (f *Folder) holdsBlobs(p Part) (bool, error) {
	entries, err := os.ReadDir(f.join(string(p)))
	if err != nil {
		return false, fmt.Errorf("looking into the data folder: %w", err)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }), nil
}

// lostByHistory returns the parts that a folder without a manifest has lost according to its
// database: the database has events of a stream, content of messages, or checkpoints of an
// archive that is missing.
func (f *Folder) lostByHistory(ctx context.Context, pool *pgxpool.Pool) ([]Part, error) {
	var has bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('record.position') IS NOT NULL AND to_regclass('app.checkpoints') IS NOT NULL`).Scan(&has); err != nil || !has {
		return nil, err
	}
	var events, content, checkpoints bool
	err := pool.QueryRow(ctx, `SELECT (SELECT seq > 0 FROM record.position), EXISTS (SELECT FROM app.message_content), EXISTS (SELECT FROM app.checkpoints)`).
		Scan(&events, &content, &checkpoints)
	if err != nil {
		return nil, fmt.Errorf("reading the former parts of the data folder from the database: %w", err)
	}
	var had []Part
	for p, was := range map[Part]bool{NATS: events, Content: content, Archive: checkpoints} {
		if was {
			had = append(had, p)
		}
	}
	return f.missing(had)
}
