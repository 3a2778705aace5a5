package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Replication is the state of a primary's replicas.
type Replication struct {
	Replicas    int  `json:"replicas"`    // connected now
	Synchronous bool `json:"synchronous"` // whether commits wait for some of them
}

// ReadReplication reads the state from the server. Any role may call it.
func ReadReplication(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (r Replication, err error) {
	// Clients that make a base backup or archive the log are no replicas to fail over to.
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_replication WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal')),
		current_setting('synchronous_standby_names') <> ''`).Scan(&r.Replicas, &r.Synchronous)
	if err != nil {
		return r, fmt.Errorf("asking Postgres for its replicas: %w", err)
	}
	return r, nil
}

// Asynchronous returns the number of replicas for which commits do not wait. A failover to one
// of them loses the last commits.
func (r Replication) Asynchronous() int {
	if r.Synchronous {
		return 0
	}
	return r.Replicas
}

// Warning returns a text about asynchronous replicas, "" if there are none.
func (r Replication) Warning() string {
	if r.Asynchronous() == 0 {
		return ""
	}
	return "Postgres has a replica and does not wait for it: a failover loses the last commits. " +
		"Set synchronous_standby_names; see \"A replica of Postgres\" in docs/operating.md"
}
