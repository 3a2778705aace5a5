package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/recorder/migrate"
)

// A Recovery holds an operator's decisions about lost parts.
type Recovery struct {
	// Without are the parts that are permanently lost. Content and keys may be listed even
	// if they exist: then the existing ones are used from now on.
	Without []Part
	// Before verifies the signatures of the lost checkpoint key; nil means the verifiers in
	// the database.
	Before *checkpoint.Verifiers
	Actor  string
	Logger *slog.Logger
}

// Lost returns the parts that a folder has lost. It changes nothing.
func Lost(ctx context.Context, f *Folder, log *slog.Logger) (lost []Part, err error) {
	s := &Stores{folder: f}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if lost, err = s.lost(ctx, log); err != nil {
		return nil, err
	}
	return lost, f.refuseUnmade(lost)
}

// Recover makes new parts to replace the lost ones, so that the system of a folder can be
// started again. It refuses if a lost part was not listed, or if the record itself is lost.
// After a crash it can be run again: until it has finished, the parts count as lost.
func Recover(ctx context.Context, f *Folder, r Recovery) (err error) {
	s := &Stores{folder: f, Addresses: Addresses{NATSURLs: map[string]string{}}}
	defer func() { err = errors.Join(err, s.Stop()) }()
	lost, err := s.lost(ctx, r.Logger)
	if err != nil {
		return err
	}
	if err := f.refuseUnmade(lost); err != nil {
		return err
	}
	if err := r.check(f, lost); err != nil {
		return err
	}
	noDatabase := slices.Contains(lost, Postgres)
	if !noDatabase {
		if err := s.startPostgres(ctx, r.Logger); err != nil {
			return err
		}
		if err := migrate.Up(ctx, s.DatabaseURL, r.Logger); err != nil {
			return err
		}
		if err := s.deriveManifest(ctx); err != nil {
			return err
		}
	}
	if slices.Contains(r.Without, CheckpointKey) {
		if err := s.verifiers(ctx, &r); err != nil {
			return err
		}
	}
	if f.manifest == nil { // and there is no database that shows whether the demo made the folder
		f.manifest = &manifest{MadeAt: time.Now().UTC()}
	}
	f.manifest.State = made
	f.manifest.Recovering = slices.DeleteFunc(slices.Clone(r.Without), func(p Part) bool { return !slices.Contains(lost, p) })
	if err := f.writeManifest(); err != nil {
		return err
	}
	if noDatabase {
		if err := s.startPostgres(ctx, r.Logger); err != nil {
			return err
		}
		if err := s.startNATS(ctx, r.Logger); err != nil {
			return err
		}
		if err := migrate.Up(ctx, s.DatabaseURL, r.Logger); err != nil {
			return err
		}
	}
	if err := s.accept(ctx, r); err != nil {
		return err
	}
	if err := f.replace(r); err != nil {
		return err
	}
	f.manifest.Recovering = nil
	return f.writeManifest()
}

// check compares the parts that the operator listed with the lost ones.
func (r Recovery) check(f *Folder, lost []Part) error {
	if slices.Contains(lost, Postgres) && slices.Contains(lost, NATS) {
		return &LostError{Folder: f.path, Lost: lost}
	}
	for _, p := range lost {
		if p != NATS && !slices.Contains(r.Without, p) {
			return &LostError{Folder: f.path, Lost: lost}
		}
	}
	for _, p := range r.Without {
		switch {
		case p == NATS:
			return fmt.Errorf("the stream can't be given up: `postern repair --data %s` restores it from the copy in the database", f.path)
		case !f.keeps(p) && (p == Content || p == Archive):
			return fmt.Errorf("%s is not stored in %s: the environment sets another place for it", p, f.path)
		case !slices.Contains(lost, p) && (p == Postgres || p == Archive):
			return fmt.Errorf("%s is not lost: it is in %s", p, f.path)
		}
	}
	return nil
}

// verifiers looks up the verifiers of the lost key, if none were given.
func (s *Stores) verifiers(ctx context.Context, r *Recovery) error {
	if r.Before != nil {
		return nil
	}
	if s.postgres != nil {
		return s.ask(ctx, func(pool *pgxpool.Pool) error {
			text, err := merklestore.CheckpointKeys(ctx, pool)
			if errors.Is(err, merklestore.ErrUnsigned) {
				return nil
			}
			if err == nil {
				r.Before, err = checkpoint.ParseVerifiers(text)
			}
			return err
		})
	}
	if slices.Contains(r.Without, Archive) {
		return nil
	}
	outside, err := archive.Open(ctx, s.folder.ArchiveURL())
	if err != nil {
		return err
	}
	latest, err := outside.Latest(ctx)
	if err == nil && latest.Size > 0 {
		err = errors.New("the archive holds checkpoints that the lost key signed, and the database that knew its verifier is lost too: " +
			"give the lines that `postern keys verifier` printed, in a file, with --verifiers. Without them, move the archive away and add --without archive")
	}
	return errors.Join(err, outside.Close())
}

// replace makes the new key files and folders.
func (f *Folder) replace(r Recovery) error {
	if slices.Contains(r.Without, CheckpointKey) && r.Before != nil {
		if _, err := checkpoint.CreateSuccessor(f.CheckpointKeyFile(), r.Before); err != nil {
			return err
		}
	}
	if err := f.createKeys(); err != nil {
		return err
	}
	return f.createFolders()
}

// accept prepares a new database for the stream if the old one is lost, and stores in it
// which parts were given up.
func (s *Stores) accept(ctx context.Context, r Recovery) error {
	return s.ask(ctx, func(pool *pgxpool.Pool) error {
		if slices.Contains(r.Without, Postgres) {
			log, err := eventlog.Connect(ctx, eventlog.Config{URL: s.NATSURLs[events.Admin], Name: "postern recover", Logger: r.Logger})
			if err != nil {
				return err
			}
			defer log.Close()
			kept, err := content.Open(ctx, s.folder.ContentURL(), s.folder.ContentKeyFile())
			if err != nil {
				return err
			}
			defer func() { _ = kept.Close() }()
			if err := RestoreNumbers(ctx, log, pool, kept); err != nil {
				return err
			}
		}
		return Accept(ctx, pool, r.Actor, r.Without)
	})
}

// Accept stores in the database which parts are permanently lost, so that no process looks
// for their earlier content.
func Accept(ctx context.Context, pool *pgxpool.Pool, actor string, parts []Part) error {
	_, err := pool.Exec(ctx, `INSERT INTO app.losses (part, accepted_by) SELECT part, $2 FROM unnest($1::text[]) part`, parts, actor)
	if err == nil && slices.Contains(parts, Content) {
		// The next message that cites a roster or a state of the directory copies it to the new
		// content store.
		_, err = pool.Exec(ctx, `WITH rosters AS (UPDATE app.rosters SET kept = NULL WHERE kept IS NOT NULL)
			UPDATE app.directory_states SET copied = false`)
	}
	if err != nil {
		return fmt.Errorf("storing which parts are lost: %w", err)
	}
	return nil
}

// RestoreNumbers prepares an empty database for a stream that has events. It restores the rosters
// that deliveries cite from the content store, if kept is not nil. Portal users and
// patients of every delivery on the record get the number that they have there. Otherwise
// an import would give them other numbers, and deliveries would be shown to other people.
// Until they are imported they have no name or address, and their accounts are inactive.
// Numbers that the lost database may have given are not given again. A notify worker must
// settle alerts without an outcome, because the claims that show which of them were sent are
// lost. If the rosters are lost too, their people can't be told by number any more: an import
// gives them new ones, and they lose the messages that cite these rosters.
func RestoreNumbers(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, kept *content.Store) error {
	if kept != nil {
		if err := rosterstore.Restore(ctx, pool, kept); err != nil {
			return err
		}
	}
	state, err := log.State(ctx)
	if err != nil {
		return err
	}
	users, patients := map[int32]string{}, map[int32]string{}
	highest, err := eachDelivery(ctx, log, pool, func(r *events.Recipient) {
		users[r.PortalUserNo] = r.PortalUserID
		for _, l := range r.Links {
			patients[l.PatientNo] = l.PatientID
		}
	})
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, t := range []struct {
			table, no, insert string
			ids               map[int32]string
			highest           int32
		}{
			{"app.portal_users", "portal_user_no", `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, active) OVERRIDING SYSTEM VALUE
				SELECT no, id, id, false FROM unnest($1::integer[], $2::text[]) n (no, id) ON CONFLICT DO NOTHING`, users, highest},
			{"app.patients", "patient_no", `INSERT INTO app.patients (patient_no, patient_id, status) OVERRIDING SYSTEM VALUE
				SELECT no, id, 'discharged' FROM unnest($1::integer[], $2::text[]) n (no, id) ON CONFLICT DO NOTHING`, patients, 0},
		} {
			nos, ids := make([]int32, 0, len(t.ids)), make([]string, 0, len(t.ids))
			for no, id := range t.ids {
				nos, ids = append(nos, no), append(ids, id)
			}
			if _, err := tx.Exec(ctx, t.insert, nos, ids); err != nil {
				return fmt.Errorf("restoring the numbers of portal users and patients: %w", err)
			}
			// A second run does not reuse the skipped numbers.
			_, err := tx.Exec(ctx, `SELECT setval(s, greatest((SELECT max(`+t.no+`) FROM `+t.table+`), pg_sequence_last_value(s), nullif($3, 0)))
				FROM CAST(pg_get_serial_sequence($1, $2) AS regclass) s`, t.table, t.no, t.highest)
			if err != nil {
				return fmt.Errorf("restoring the numbers of portal users and patients: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, `SELECT app.unsettle('lost', $1)`, int64(state.Last)); err != nil { // #nosec G115 -- a sequence
			return fmt.Errorf("storing that claims of alerts are lost: %w", err)
		}
		return nil
	})
}

var errRead = errors.New("the end of the stream")

// eachDelivery calls each with every recipient on the record, and returns the highest number of a
// portal user. It skips the gaps of a damaged stream, and the names of lost rosters.
func eachDelivery(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, each func(*events.Recipient)) (highest int32, err error) {
	state, err := log.State(ctx)
	if err != nil {
		return 0, err
	}
	for next := max(state.First, 1); next <= state.Last; {
		err := log.Read(ctx, next, 4096, 8<<20, func(run []eventlog.Stored) error {
			for _, s := range run {
				next = s.Seq + 1
				e, err := events.Parse(s.Header, s.Data)
				if err != nil || e.Type != events.TypeDeliveriesCreated {
					continue
				}
				numbered := func(no int32) bool { highest = max(highest, no); return true }
				err = delivered.Each(ctx, pool, &e, numbered, func(r *events.Recipient) error { each(r); return nil })
				if err != nil && !errors.Is(err, cited.ErrDamaged) {
					return fmt.Errorf("reading event %d: %w", s.Seq, err)
				}
			}
			if next > state.Last {
				return errRead
			}
			return nil
		})
		var gap eventlog.ErrGap
		switch {
		case errors.Is(err, errRead):
			return highest, nil
		case errors.As(err, &gap):
			next = gap.Got
		case err != nil:
			return 0, fmt.Errorf("reading the deliveries of the record: %w", err)
		}
	}
	return highest, nil
}
