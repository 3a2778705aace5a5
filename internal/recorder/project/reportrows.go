package project

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// deadRows are the rows of dead_addresses that a batch adds: of one address the
// first report, and of two addresses of a portal user the later address.
type deadRows map[int32]*deadRow

type deadRow struct {
	version int
	since   time.Time
	reason  string
	id      string
}

func (d deadRows) add(of events.DeadAddress, r *events.Report) {
	now := &deadRow{of.Version, r.At, cmp.Or(r.Reason, r.Status, r.Type), r.ID}
	if known := d[of.PortalUserNo]; known == nil || now.before(known) {
		d[of.PortalUserNo] = now
	}
}

func (d *deadRow) before(other *deadRow) bool {
	return cmp.Or(cmp.Compare(other.version, d.version), d.since.Compare(other.since), cmp.Compare(d.id, other.id)) < 0
}

// loadReports reads the reports about the alerts that the batch reports on, and about all
// alerts of the chunks whose outcome is in the batch.
func (b *batch) loadReports(q *pgx.Batch) {
	var messages []uuid.UUID
	var chunks []int
	var nos []int32
	for _, p := range b.events {
		switch {
		case p.reports != nil:
			for _, request := range p.reports.Requests {
				for i := range request.Reports {
					messages = append(messages, p.reports.MessageID)
					chunks = append(chunks, request.Chunk)
					nos = append(nos, request.Reports[i].PortalUserNo)
				}
			}
		case p.Event.Type.IsOutcome() && p.Event.Chunk != nil:
			messages = append(messages, p.Event.MessageID)
			chunks = append(chunks, p.Event.Chunk.Index)
			nos = append(nos, everyPortalUser)
		}
	}
	if len(messages) > 0 {
		b.loadReportRows(q, messages, chunks, nos)
		b.loadExceptions(q, messages, nos)
	}
}

// everyPortalUser stands for all portal users of a chunk: numbers begin at 1.
const everyPortalUser = 0

func (b *batch) loadReportRows(q *pgx.Batch, messages []uuid.UUID, chunks []int, nos []int32) {
	q.Queue(`
		SELECT DISTINCT r.message_id, r.chunk, r.portal_user_no, r.attempt, r.failed, r.reason, r.at, r.report_id
		FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS wanted (message_id, chunk, no)
		JOIN reports r ON r.message_id = wanted.message_id AND r.chunk = wanted.chunk
		    AND (wanted.no = 0 OR r.portal_user_no = wanted.no)`, messages, chunks, nos).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var chunk chunkKey
			var key alertKey
			r := &reportRow{stored: true}
			if err := rows.Scan(&chunk.message, &chunk.chunk, &key.no, &key.attempt, &r.failed, &r.reason, &r.at, &r.id); err != nil {
				return fmt.Errorf("loading reports: %w", err)
			}
			b.keep(chunk, key, r)
		}
		return rows.Err()
	})
}

func (b *batch) flushReports() error {
	var fresh [][]any
	for chunk, alerts := range b.reports {
		for key, r := range alerts {
			switch {
			case !r.dirty:
			case r.stored && r.gone:
				b.queue(`DELETE FROM reports WHERE message_id = $1 AND chunk = $2 AND portal_user_no = $3 AND attempt = $4`,
					chunk.message, chunk.chunk, key.no, key.attempt)
			case r.stored:
				b.queue(`UPDATE reports SET failed = $5, reason = $6, at = $7, report_id = $8
					WHERE message_id = $1 AND chunk = $2 AND portal_user_no = $3 AND attempt = $4`,
					chunk.message, chunk.chunk, key.no, key.attempt, r.failed, r.reason, r.at, r.id)
			case !r.gone:
				fresh = append(fresh, []any{chunk.message, chunk.chunk, key.no, key.attempt, r.failed, r.reason, r.at, r.id})
			}
		}
	}
	b.flushDead()
	return b.insert("reports", []string{"message_id", "chunk", "portal_user_no", "attempt", "failed", "reason", "at", "report_id"}, fresh)
}

func (b *batch) flushDead() {
	for no, d := range b.dead {
		b.queue(`INSERT INTO dead_addresses AS known (portal_user_no, address_version, since, reason, report_id)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (portal_user_no) DO UPDATE SET address_version = excluded.address_version,
				since = excluded.since, reason = excluded.reason, report_id = excluded.report_id
			WHERE (-excluded.address_version, excluded.since, excluded.report_id COLLATE "C")
				< (-known.address_version, known.since, known.report_id)`,
			no, d.version, d.since, d.reason, d.id)
	}
}
