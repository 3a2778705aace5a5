package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/serving/loopback"
)

// An origin says what added the data of a folder without a manifest, according to its
// database. The value that --demo refuses is the text of the reason.
type origin string

const (
	unused     origin = "" // no staff and no directory was ever added
	fromDemo   origin = "demo"
	fromClinic origin = "its staff or directory were not added by --demo"
)

// originOf uses the record, which can't be changed: the folder belongs to the demo if the
// demo recorded the first staff account or import.
func originOf(ctx context.Context, pool *pgxpool.Pool) (origin, error) {
	var migrated bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('record.events') IS NOT NULL AND to_regclass('app.patients') IS NOT NULL`).Scan(&migrated); err != nil {
		return "", fmt.Errorf("reading the origin of the data folder from the database: %w", err)
	}
	if !migrated {
		return unused, nil
	}
	var first string
	var hasPeople bool
	err := pool.QueryRow(ctx, `
		SELECT coalesce((SELECT actor FROM record.events WHERE type IN ('staff.created', 'directory.imported') ORDER BY seq LIMIT 1), ''),
		       EXISTS (SELECT FROM app.portal_users) OR EXISTS (SELECT FROM app.patients) OR EXISTS (SELECT FROM app.staff_accounts)`).
		Scan(&first, &hasPeople)
	if err != nil {
		return "", fmt.Errorf("reading the origin of the data folder from the database: %w", err)
	}
	switch {
	case first == "" && !hasPeople:
		return unused, nil
	case first != demoActor:
		return fromClinic, nil
	default:
		return fromDemo, nil
	}
}

// mustBeLoopback refuses an address at which other machines could reach the demo, because its
// passwords are public.
func mustBeLoopback(ctx context.Context, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil // the check of the settings reports it
	}
	if err := loopback.Check(ctx, address); err != nil {
		return fmt.Errorf("--demo serves only this machine, because the passwords of its accounts are public: %q %w. Use --listen 127.0.0.1:8080", address, err)
	}
	return nil
}

// isLoopback reports whether the portal can be reached only from this machine, at its
// address and at its public URL.
func isLoopback(ctx context.Context, address, publicURL string) bool {
	u, err := url.Parse(publicURL)
	return loopback.Check(ctx, address) == nil && err == nil && loopback.Check(ctx, net.JoinHostPort(u.Hostname(), "80")) == nil
}

// checkDemoAccounts is called at a start without --demo. It refuses the start if other
// machines could use accounts of the demo, whose passwords are public. If only this machine
// could, it logs a warning.
func (s *Stores) checkDemoAccounts(ctx context.Context, loopback bool, log *slog.Logger) error {
	emails := make([]string, len(demoStaff))
	for i, a := range demoStaff {
		emails[i] = a.email
	}
	var enabled []string
	err := s.ask(ctx, func(pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, `SELECT a.email FROM app.staff_accounts a JOIN record.staff s USING (staff_id)
			WHERE lower(a.email) = ANY($1) AND s.disabled_at IS NULL ORDER BY a.email`, emails)
		if err == nil {
			enabled, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for accounts of the demo: %w", err)
	}
	var why string
	switch {
	case s.folder.manifest.Demo:
		why = fmt.Sprintf("the data folder %s was made by --demo, and the passwords of its accounts are public. Use another folder for a clinic", s.folder.path)
	case len(enabled) > 0:
		why = fmt.Sprintf("the data folder %s has accounts of the demo, whose password is public: %s. Disable them with `postern staff disable EMAIL`, "+
			"and set new passwords for the portal users that the demo listed", s.folder.path, strings.Join(enabled, ", "))
	default:
		return nil
	}
	if !loopback {
		return errors.New(why + ". Until then, both the address and PUBLIC_URL must be loopback addresses")
	}
	log.Warn(why)
	return nil
}
