package resources

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/source"
)

// findSuccessors finds the successors of replaced patients, and refuses contradictions.
func (m *Merge) findSuccessors(ctx context.Context, tx pgx.Tx) error {
	claims, err := m.claims(ctx, tx)
	if err != nil {
		return err
	}
	is, wrong := resolveSuccessions(claims)
	m.is = is
	for _, w := range wrong {
		var at source.Place
		err := tx.QueryRow(ctx, `SELECT file, line, entry FROM staged_versions WHERE kind = 'patient' AND id = ANY($1) ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1`,
			w.patients).Scan(&at.File, &at.Line, &at.Entry)
		if err != nil {
			return fmt.Errorf("finding a replacement of patients: %w", err)
		}
		m.Faults.Add(source.Fault{Place: at, Field: "link", Reason: w.String()})
	}
	if len(claims) == 0 && len(m.was.related) == 0 {
		return m.stageSuccessors(ctx, tx, nil)
	}
	var named []string
	for id := range m.was.related {
		named = append(named, id)
	}
	for id := range m.is.related {
		named = append(named, id)
	}
	rows, err := tx.Query(ctx, `SELECT patient_id FROM touched WHERE patient_id = ANY($1)`, named)
	if err != nil {
		return fmt.Errorf("finding replacements of patients: %w", err)
	}
	touched, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("finding replacements of patients: %w", err)
	}
	var connected []string
	for _, id := range touched {
		connected = append(append(connected, m.was.related[id]...), m.is.related[id]...)
	}
	return m.stageSuccessors(ctx, tx, connected)
}

// stageSuccessors stages the patients that are replaced, with their successors, and those
// that are no longer replaced. It adds to touched all patients that replacements connect
// with a patient of the folder.
func (m *Merge) stageSuccessors(ctx context.Context, tx pgx.Tx, connected []string) error {
	if err := m.exec(ctx, "staging replacements of patients", `
		CREATE TEMP TABLE replaced (patient_id text COLLATE "C" PRIMARY KEY, successor text COLLATE "C") ON COMMIT DROP`, `
		CREATE TEMP TABLE released (patient_id text COLLATE "C" PRIMARY KEY) ON COMMIT DROP`); err != nil {
		return err
	}
	var replaced, successors, released []string
	for id, successor := range m.is.successor {
		replaced, successors = append(replaced, id), append(successors, successor)
	}
	for id := range m.was.successor {
		if _, still := m.is.successor[id]; !still {
			released = append(released, id)
		}
	}
	for _, insert := range []struct {
		statement string
		args      []any
	}{
		{`INSERT INTO touched SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING`, []any{connected}},
		{`INSERT INTO replaced SELECT patient_id, nullif(successor, '') FROM unnest($1::text[], $2::text[]) AS r (patient_id, successor)`, []any{replaced, successors}},
		{`INSERT INTO released SELECT unnest($1::text[])`, []any{released}},
	} {
		if _, err := tx.Exec(ctx, insert.statement, insert.args...); err != nil {
			return fmt.Errorf("staging replacements of patients: %w", err)
		}
	}
	// A patient without a Patient resource keeps the earlier status.
	return m.exec(ctx, "finding the patients of the export", `
		INSERT INTO app.fhir_patients (patient_id, status_before)
		SELECT patient_id, p.status FROM touched JOIN app.patients p USING (patient_id)
		WHERE NOT EXISTS (SELECT FROM app.fhir_patients f WHERE f.patient_id = p.patient_id)`, `
		CREATE TEMP TABLE gone ON COMMIT DROP AS
		SELECT t.patient_id, r.successor FROM touched t LEFT JOIN replaced r USING (patient_id) LEFT JOIN app.fhir_patients f USING (patient_id)
		WHERE r.patient_id IS NOT NULL OR f.deleted`, `
		CREATE TEMP TABLE reachable ON COMMIT DROP AS
		WITH named AS (SELECT patient_id FROM touched UNION SELECT successor FROM replaced UNION SELECT patient_id FROM staged_related)
		SELECT n.patient_id FROM named n
		LEFT JOIN replaced r ON r.patient_id = n.patient_id
		LEFT JOIN app.fhir_patients f ON f.patient_id = n.patient_id
		LEFT JOIN staged_patients s ON s.patient_id = n.patient_id
		LEFT JOIN app.patients p ON p.patient_id = n.patient_id
		WHERE r.patient_id IS NULL AND f.deleted IS NOT TRUE AND (s.patient_id IS NOT NULL OR p.patient_id IS NOT NULL)`, `
		ANALYZE touched, replaced, gone, reachable`)
}

// some lists the first few ids and the number of the others.
func some(ids []string) string {
	const most = 5
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}
