package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Replication is what a primary says of its replicas.
type Replication struct {
	Replicas    int  `json:"replicas"`    // that follow it now
	Synchronous bool `json:"synchronous"` // whether its commits wait for some of them
}

// ReadReplication asks the server, as any role may.
func ReadReplication(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (r Replication, err error) {
	// What makes a base backup, or archives the log, is no replica to fail over to.
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_replication WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal')),
		current_setting('synchronous_standby_names') <> ''`).Scan(&r.Replicas, &r.Synchronous)
	if err != nil {
		return r, fmt.Errorf("asking Postgres for its replicas: %w", err)
	}
	return r, nil
}

// Asynchronous is how many replicas no commit waits for: a failover to one of them loses the
// last commits.
func (r Replication) Asynchronous() int {
	if r.Synchronous {
		return 0
	}
	return r.Replicas
}

// Warning says what is wrong with it, "" for nothing.
func (r Replication) Warning() string {
	if r.Asynchronous() == 0 {
		return ""
	}
	return "Postgres has a replica and does not wait for it: a failover loses the last commits. " +
		"Set synchronous_standby_names; see \"A replica of Postgres\" in docs/operating.md"
}
