package query

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/events"
	"postern/internal/text/language"
)

// People are portal users and patients who were found by name.
type People struct {
	PortalUsers []directory.PortalUser
	Patients    []directory.Patient
	More        bool // there are more of one kind
}

// FindPortalUsers finds up to limit portal users as [directory.Search] does. If it finds any, it
// records that who read of them before it returns. The text is not recorded: it is a name, and
// events can't be deleted.
func (r *Reader) FindPortalUsers(ctx context.Context, who Actor, text string, limit int) ([]directory.PortalUser, error) {
	found, _, err := directory.Search(ctx, r.cfg.Pool, text, limit, "")
	if err != nil {
		return nil, fmt.Errorf("finding people: %w", err)
	}
	return found, r.recordPeople(ctx, who, len(found))
}

// FindPeople is [Reader.FindPortalUsers] for up to limit portal users and as many patients.
func (r *Reader) FindPeople(ctx context.Context, who Actor, text string, limit int) (p People, err error) {
	users, next, err := directory.Search(ctx, r.cfg.Pool, text, limit, "")
	if err != nil {
		return People{}, fmt.Errorf("finding people: %w", err)
	}
	patients, nextPatient, err := directory.SearchPatients(ctx, r.cfg.Pool, text, limit, "")
	if err != nil {
		return People{}, fmt.Errorf("finding people: %w", err)
	}
	return People{users, patients, next+nextPatient != ""}, r.recordPeople(ctx, who, len(users)+len(patients))
}

func (r *Reader) recordPeople(ctx context.Context, who Actor, found int) error {
	if found == 0 {
		return nil
	}
	reading := newReading(events.ReadPeople, Filter{})
	reading.Count = found
	return r.recordRead(ctx, who, reading)
}

// Actors returns the processes and operators who have caused events, as events name them, each
// once, at most a hundred of each. It skips along the index of actors.
func (r *Reader) Actors(ctx context.Context) (all []string, err error) {
	for _, kind := range []string{"process", "operator"} {
		rows, err := r.cfg.Pool.Query(ctx, `
			WITH RECURSIVE found (actor) AS (
			    (SELECT actor FROM record.events WHERE actor >= $1 AND actor < $2 ORDER BY actor LIMIT 1)
			    UNION ALL
			    (SELECT n.actor FROM found CROSS JOIN LATERAL (
			        SELECT e.actor FROM record.events e WHERE e.actor > found.actor AND e.actor < $2 ORDER BY e.actor LIMIT 1) n))
			SELECT actor FROM found LIMIT 100`, kind+":", kind+";")
		if err != nil {
			return nil, fmt.Errorf("reading the actors: %w", err)
		}
		var actor string
		if _, err := pgx.ForEachRow(rows, []any{&actor}, func() error { all = append(all, actor); return nil }); err != nil {
			return nil, fmt.Errorf("reading the actors: %w", err)
		}
	}
	return all, nil
}

// AccountEvents returns the newest events about the account of a portal user, at most limit, the
// newest first. Before it returns, it records that who read them.
func (r *Reader) AccountEvents(ctx context.Context, who Actor, portalUser string, limit int) ([]Entry, error) {
	found, err := r.accountEvents(ctx, portalUser, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the events about the account of portal user %s: %w", portalUser, err)
	}
	reading := newReading(events.ReadList, Filter{PortalUserID: portalUser})
	reading.Count = len(found)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, err
	}
	return found, nil
}

func (r *Reader) accountEvents(ctx context.Context, portalUser string, limit int) ([]Entry, error) {
	rows, err := r.cfg.Pool.Query(ctx, `SELECT seq FROM record.account_events WHERE portal_user_id = $1 ORDER BY seq DESC LIMIT $2`, portalUser, limit)
	if err != nil {
		return nil, err
	}
	seqs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	names, err := staffNames(ctx, r.cfg.Pool)
	if err != nil {
		return nil, err
	}
	rows, err = r.cfg.Pool.Query(ctx, selectEntries, seqs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEntry(language.From(ctx), names))
}
