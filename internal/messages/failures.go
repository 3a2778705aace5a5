package messages

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// Failure counts the recipients of a message whose alert failed, or is unknown, for one
// reason.
type Failure struct {
	State  events.AlertState
	Reason string
	Count  int
}

// mostFailures is how many reasons are listed.
const mostFailures = 50

// Failures counts the failed and unknown alerts of a message by reason, the commonest first.
// Each chunk counts with its own state, except for recipients whose alert has another one.
func (rd *Reader) Failures(ctx context.Context, id uuid.UUID) ([]Failure, error) {
	rows, err := rd.pool.Query(ctx, `
		WITH apart AS (SELECT chunk, state, reason, count(*) AS n FROM record.alert_exceptions WHERE message_id = $1 GROUP BY 1, 2, 3),
		counted AS (
		    SELECT state, reason, n FROM apart
		    UNION ALL
		    SELECT c.alert_state, c.alert_reason, c.deliveries - coalesce((SELECT sum(a.n) FROM apart a WHERE a.chunk = c.chunk), 0)
		    FROM record.chunks c WHERE c.message_id = $1 AND c.alert_state IN ('failed', 'unknown'))
		SELECT state, reason, sum(n)::bigint FROM counted WHERE state IN ('failed', 'unknown')
		GROUP BY 1, 2 HAVING sum(n) > 0 ORDER BY 3 DESC, 1, 2 LIMIT $2`, id, mostFailures)
	if err != nil {
		return nil, fmt.Errorf("counting the failed alerts of message %s: %w", id, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Failure])
	if err != nil {
		return nil, fmt.Errorf("counting the failed alerts of message %s: %w", id, err)
	}
	return all, nil
}
