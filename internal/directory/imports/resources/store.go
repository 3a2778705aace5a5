package resources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/source"
)

// claims reads the stored claims that one patient is replaced by another.
func (m *Merge) claims(ctx context.Context, tx pgx.Tx) (claims []source.Replacement, err error) {
	rows, err := tx.Query(ctx, `SELECT said_by, replaced, successor FROM app.fhir_replacements`)
	if err != nil {
		return nil, fmt.Errorf("reading replacements of patients: %w", err)
	}
	var c source.Replacement
	_, err = pgx.ForEachRow(rows, []any{&c.SaidBy, &c.Replaced, &c.Successor}, func() error {
		claims = append(claims, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading replacements of patients: %w", err)
	}
	return claims, nil
}

// store updates the stored patients, episodes and replacements, and counts the changes.
// Representatives follow in findRepresented.
func (m *Merge) store(ctx context.Context, tx pgx.Tx) error {
	// Unchanged rows must not be written, which ON CONFLICT would do.
	for _, merge := range []string{`
		WITH incoming AS MATERIALIZED (
		    SELECT v.id, s.status = 'active' AS active, v.deleted
		    FROM staged_versions v LEFT JOIN staged_patients s USING (file, line, entry) WHERE v.kind = 'patient'
		), changed AS (
		    UPDATE app.fhir_patients f SET active = coalesce(incoming.active, f.active), deleted = incoming.deleted
		    FROM incoming
		    WHERE f.patient_id = incoming.id AND (f.active, f.deleted) IS DISTINCT FROM (coalesce(incoming.active, f.active), incoming.deleted)
		    RETURNING 1
		), new AS (
		    INSERT INTO app.fhir_patients (patient_id, active, deleted, status_before)
		    SELECT incoming.id, incoming.active, incoming.deleted, p.status FROM incoming LEFT JOIN app.patients p ON p.patient_id = incoming.id
		    WHERE NOT EXISTS (SELECT FROM app.fhir_patients f WHERE f.patient_id = incoming.id) ORDER BY incoming.id
		    RETURNING 1
		)
		SELECT (SELECT count(*) FROM new), (SELECT count(*) FROM changed)`, `
		WITH incoming AS MATERIALIZED (
		    SELECT v.id, s.patient_id, coalesce(s.state, 'void') AS state
		    FROM staged_versions v LEFT JOIN staged_episodes s USING (file, line, entry) WHERE v.kind = 'episode'
		), changed AS (
		    UPDATE app.fhir_episodes f SET patient_id = incoming.patient_id, state = incoming.state
		    FROM incoming
		    WHERE f.episode_id = incoming.id AND (f.patient_id, f.state) IS DISTINCT FROM (incoming.patient_id, incoming.state)
		    RETURNING 1
		), new AS (
		    INSERT INTO app.fhir_episodes (episode_id, patient_id, state)
		    SELECT id, patient_id, state FROM incoming
		    WHERE NOT EXISTS (SELECT FROM app.fhir_episodes f WHERE f.episode_id = incoming.id) ORDER BY id
		    RETURNING 1
		)
		SELECT (SELECT count(*) FROM new), (SELECT count(*) FROM changed)`,
	} {
		var new, changed int
		if err := tx.QueryRow(ctx, merge).Scan(&new, &changed); err != nil {
			return fmt.Errorf("remembering resources: %w", err)
		}
		m.changes.New += new
		m.changes.Changed += changed
	}
	removed, err := tx.Exec(ctx, `
		DELETE FROM app.fhir_replacements f USING staged_versions v
		WHERE v.kind = 'patient' AND v.id = f.said_by AND NOT EXISTS (SELECT FROM staged_replacements s
		    WHERE (s.said_by, s.replaced, s.successor) = (f.said_by, f.replaced, f.successor))`)
	if err != nil {
		return fmt.Errorf("remembering replacements of patients: %w", err)
	}
	added, err := tx.Exec(ctx, `
		INSERT INTO app.fhir_replacements (said_by, replaced, successor)
		SELECT DISTINCT said_by, replaced, successor FROM staged_replacements ON CONFLICT DO NOTHING`)
	if err != nil {
		return fmt.Errorf("remembering replacements of patients: %w", err)
	}
	m.claimsChanged = removed.RowsAffected()+added.RowsAffected() > 0
	return nil
}

// storeRelated updates the stored representatives, with the patients that their links
// lead to now, and completes the count of the stored resources.
func (m *Merge) storeRelated(ctx context.Context, tx pgx.Tx) error {
	var total, new, changed int
	err := tx.QueryRow(ctx, `
		WITH updated AS (
		    UPDATE app.fhir_related_persons f SET patient_id = n.patient_id, active = n.active, deleted = n.deleted,
		        valid_from = n.valid_from, valid_until = n.valid_until, linked_to = n.leads_to
		    FROM represented n
		    WHERE n.related_person_id = f.related_person_id AND (n.differs OR f.linked_to IS DISTINCT FROM n.leads_to)
		), inserted AS (
		    INSERT INTO app.fhir_related_persons (related_person_id, patient_id, active, deleted, valid_from, valid_until, linked_to)
		    SELECT related_person_id, patient_id, active, deleted, valid_from, valid_until, leads_to
		    FROM represented WHERE first_seen ORDER BY related_person_id
		)
		SELECT (SELECT count(*) FROM staged_versions), count(*) FILTER (WHERE first_seen), count(*) FILTER (WHERE differs AND NOT first_seen)
		FROM represented`).Scan(&total, &new, &changed)
	if err != nil {
		return fmt.Errorf("remembering resources: %w", err)
	}
	m.changes.New += new
	m.changes.Changed += changed
	if m.changes.New+m.changes.Changed == 0 && m.claimsChanged {
		m.changes.Changed = 1 // at least the Patient with the claim
	}
	m.changes.Unchanged = total - m.changes.New - m.changes.Changed
	return nil
}
