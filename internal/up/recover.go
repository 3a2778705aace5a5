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

	"postern/internal/archive"
	"postern/internal/checkpoint"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/ledger"
	"postern/internal/store"
)

// A Recovery is what an operator decided about parts that are lost.
type Recovery struct {
	// Without are the parts that are lost for good. Of those that are there, the content
	// and the keys can be named: then those that are there are used from now on.
	Without []Part
	// Before verifies what the lost checkpoint key signed; nil: as the database has it.
	Before *checkpoint.Verifiers
	Actor  string
	Logger *slog.Logger
}

// Lost gives the parts that a folder lost. It changes nothing.
func Lost(ctx context.Context, f *Folder, log *slog.Logger) (lost []Part, err error) {
	s := &Stores{folder: f}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if lost, err = s.lost(ctx, log); err != nil {
		return nil, err
	}
	return lost, f.refuseUnmade(lost)
}

// Recover puts new parts in the place of those that are lost, so that the system of a
// folder can be started again. It refuses where one is lost that was not named, and where
// the record itself is. Ended by a crash, it is run again: until it has finished, the
// parts count as lost.
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
		if err := store.Migrate(ctx, s.DatabaseURL, r.Logger); err != nil {
			return err
		}
		if err := s.learn(ctx); err != nil {
			return err
		}
	}
	if slices.Contains(r.Without, CheckpointKey) {
		if err := s.verifiers(ctx, &r); err != nil {
			return err
		}
	}
	if f.manifest == nil { // and no database to tell more: what the demo made is not lost to anyone
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
		if err := store.Migrate(ctx, s.DatabaseURL, r.Logger); err != nil {
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

// check holds what the operator named against what is lost.
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
			return fmt.Errorf("the stream is not given up: `postern repair --data %s` restores it from the copy in the database", f.path)
		case !f.keeps(p) && (p == Content || p == Archive):
			return fmt.Errorf("%s is not kept in %s: the environment names another place for it", p, f.path)
		case !slices.Contains(lost, p) && (p == Postgres || p == Archive):
			return fmt.Errorf("%s is there, in %s: nothing is lost of it", p, f.path)
		}
	}
	return nil
}

// verifiers finds out by whose word what was signed before is known.
func (s *Stores) verifiers(ctx context.Context, r *Recovery) error {
	if r.Before != nil {
		return nil
	}
	if s.postgres != nil {
		return s.ask(ctx, func(pool *pgxpool.Pool) error {
			text, err := ledger.CheckpointKeys(ctx, pool)
			if errors.Is(err, ledger.ErrUnsigned) {
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
			"give the lines that `postern keys verifier` printed, in a file, with --verifiers. Without them, put the archive aside and name it, too: --without archive")
	}
	return errors.Join(err, outside.Close())
}

// replace makes the files and folders that take the place of the lost ones.
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

// accept brings back what the stream tells of a lost database, and writes down what was
// given up.
func (s *Stores) accept(ctx context.Context, r Recovery) error {
	return s.ask(ctx, func(pool *pgxpool.Pool) error {
		if slices.Contains(r.Without, Postgres) {
			log, err := eventlog.Connect(ctx, eventlog.Config{URL: s.NATSURLs[eventlog.Admin], Name: "postern recover", Logger: r.Logger})
			if err != nil {
				return err
			}
			defer log.Close()
			if err := RestoreNumbers(ctx, log, pool); err != nil {
				return err
			}
		}
		return Accept(ctx, pool, r.Actor, r.Without)
	})
}

// Accept writes down in the database that parts are lost for good, so that nothing looks
// for what was there before.
func Accept(ctx context.Context, pool *pgxpool.Pool, actor string, parts []Part) error {
	_, err := pool.Exec(ctx, `INSERT INTO app.losses (part, accepted_by) SELECT part, $2 FROM unnest($1::text[]) part`, parts, actor)
	if err != nil {
		return fmt.Errorf("writing down what is lost: %w", err)
	}
	return nil
}

// RestoreNumbers gives the portal users and patients of every delivery on the record the
// number that it has there, in an empty directory. Without that an import would number
// them anew, and deliveries would be other people's. They have no name or address until
// they are imported, and no account of theirs is active.
func RestoreNumbers(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool) error {
	users, patients := map[int32]string{}, map[int32]string{}
	if err := eachDelivery(ctx, log, func(r *events.Recipient) {
		users[r.PortalUserNo] = r.PortalUserID
		for _, l := range r.Links {
			patients[l.PatientNo] = l.PatientID
		}
	}); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, t := range []struct {
			sql string
			ids map[int32]string
		}{
			{`INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, active) OVERRIDING SYSTEM VALUE
				SELECT no, id, id, false FROM unnest($1::integer[], $2::text[]) n (no, id) ON CONFLICT DO NOTHING`, users},
			{`SELECT setval(pg_get_serial_sequence('app.portal_users', 'portal_user_no'), max(portal_user_no)) FROM app.portal_users HAVING count(*) > 0`, nil},
			{`INSERT INTO app.patients (patient_no, patient_id, status) OVERRIDING SYSTEM VALUE
				SELECT no, id, 'discharged' FROM unnest($1::integer[], $2::text[]) n (no, id) ON CONFLICT DO NOTHING`, patients},
			{`SELECT setval(pg_get_serial_sequence('app.patients', 'patient_no'), max(patient_no)) FROM app.patients HAVING count(*) > 0`, nil},
		} {
			var args []any
			if t.ids != nil {
				nos, ids := make([]int32, 0, len(t.ids)), make([]string, 0, len(t.ids))
				for no, id := range t.ids {
					nos, ids = append(nos, no), append(ids, id)
				}
				args = []any{nos, ids}
			}
			if _, err := tx.Exec(ctx, t.sql, args...); err != nil {
				return fmt.Errorf("restoring the numbers of portal users and patients: %w", err)
			}
		}
		return nil
	})
}

var errRead = errors.New("everything was read")

// eachDelivery calls each with every recipient of the record, over the holes of a stream
// that is damaged.
func eachDelivery(ctx context.Context, log *eventlog.Log, each func(*events.Recipient)) error {
	state, err := log.State(ctx)
	if err != nil {
		return err
	}
	for next := max(state.First, 1); next <= state.Last; {
		err := log.Read(ctx, next, 4096, 8<<20, func(run []eventlog.Stored) error {
			for _, s := range run {
				next = s.Seq + 1
				e, err := events.Parse(s.Header, s.Data)
				if err != nil || e.Type != events.TypeDeliveriesCreated {
					continue
				}
				if _, _, err := events.ScanChunk(e.Data, func(r *events.Recipient) error { each(r); return nil }); err != nil {
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
			return nil
		case errors.As(err, &gap):
			next = gap.Got
		case err != nil:
			return fmt.Errorf("reading the deliveries of the record: %w", err)
		}
	}
	return nil
}
