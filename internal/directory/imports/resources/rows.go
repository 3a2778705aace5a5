package resources

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/imports/staging"
	"postern/internal/directory/source"
)

// The rows of the directory that follow from the stored resources.

// judgeStatus decides which patients are active and which are discharged. An episode of
// care of a replaced patient counts for the successor.
func (m *Merge) judgeStatus(ctx context.Context, tx pgx.Tx) error {
	if err := m.exec(ctx, "judging episodes of care", `
		CREATE TEMP TABLE judged ON COMMIT DROP AS
		SELECT t.patient_id, f.status_before = 'discharged' AND e.open IS NULL AND f.active IS NOT FALSE AND g.patient_id IS NULL AS by_earlier,
		    CASE WHEN g.patient_id IS NOT NULL OR f.active IS FALSE OR NOT e.open THEN 'discharged'
		         WHEN e.open THEN 'active'
		         ELSE coalesce(f.status_before, 'active') END AS status
		FROM touched t JOIN app.fhir_patients f USING (patient_id) LEFT JOIN gone g USING (patient_id)
		LEFT JOIN (SELECT coalesce(r.successor, e.patient_id) AS patient_id, bool_or(e.state = 'open') AS open
		    FROM app.fhir_episodes e JOIN touched USING (patient_id) LEFT JOIN replaced r USING (patient_id)
		    WHERE e.state <> 'void' GROUP BY 1) e USING (patient_id)`, `
		ANALYZE judged`, `
		UPDATE staged_patients s SET status = j.status FROM judged j WHERE j.patient_id = s.patient_id AND j.status <> s.status`, `
		INSERT INTO staged_patients (patient_id, given_name, family_name, birth_date, status, deceased)
		SELECT p.patient_id, p.given_name, p.family_name, p.birth_date, j.status, p.deceased
		FROM judged j JOIN app.patients p USING (patient_id)
		WHERE p.status <> j.status AND NOT EXISTS (SELECT FROM staged_patients s WHERE s.patient_id = p.patient_id)`); err != nil {
		return err
	}
	err := staging.EachPlace(ctx, tx, `SELECT file, line, entry FROM staged_patients JOIN judged USING (patient_id) WHERE by_earlier AND file IS NOT NULL`,
		nil, func(at source.Place) {
			m.Warnings.Add(source.Fault{Place: at, Field: "id", Reason: "was discharged before, and no episodes of care are known for this patient: " +
				"the patient stays discharged until an export has them, or a CSV file sets another status"})
		})
	if err != nil {
		return fmt.Errorf("judging episodes of care: %w", err)
	}
	return nil
}

// closeAccounts sets the own accounts of replaced or deleted patients to inactive, and
// those of patients who are no longer replaced to active.
func (m *Merge) closeAccounts(ctx context.Context, _ pgx.Tx) error {
	return m.exec(ctx, "closing accounts", `
		UPDATE staged_portal_users u SET active = false FROM gone g WHERE g.patient_id = u.portal_user_id`, `
		DELETE FROM staged_links l USING gone g WHERE g.patient_id = l.patient_id`, `
		WITH meant AS (
		    SELECT patient_id, false AS active FROM gone UNION ALL
		    SELECT patient_id, true FROM released JOIN reachable USING (patient_id))
		INSERT INTO staged_portal_users (portal_user_id, name, email, active)
		SELECT u.portal_user_id, u.name, u.email, meant.active
		FROM meant JOIN app.portal_users u ON u.portal_user_id = meant.patient_id JOIN app.patients p USING (patient_id)
		JOIN app.links l ON l.portal_user_no = u.portal_user_no AND l.patient_no = p.patient_no AND l.relationship = 'self'
		WHERE u.active <> meant.active AND NOT EXISTS (SELECT FROM staged_portal_users s WHERE s.portal_user_id = u.portal_user_id)`, `
		INSERT INTO staged_links (portal_user_id, patient_id, relationship)
		SELECT p.patient_id, p.patient_id, 'self' FROM released JOIN reachable USING (patient_id) JOIN app.patients p USING (patient_id)
		JOIN app.portal_users u ON u.portal_user_id = p.patient_id
		JOIN app.links l ON l.portal_user_no = u.portal_user_no AND l.patient_no = p.patient_no AND l.relationship = 'self'
		WHERE NOT EXISTS (SELECT FROM staged_links s WHERE s.portal_user_id = p.patient_id AND s.patient_id = p.patient_id)`)
}

// findRepresented finds the patient that each RelatedPerson represents now: the patient
// that it names, or the successor. A RelatedPerson whose patient is unknown has an inactive
// account.
func (m *Merge) findRepresented(ctx context.Context, tx pgx.Tx) error {
	err := m.exec(ctx, "finding whom representatives represent", `
		CREATE TEMP TABLE represented ON COMMIT DROP AS
		SELECT n.*, reachable.patient_id AS leads_to
		FROM (
		    SELECT v.id AS related_person_id, s.patient_id, coalesce(s.active, false) AS active, v.deleted, s.valid_from, s.valid_until,
		        true AS here, v.file, v.line, v.entry, f.linked_to AS led_to, f.related_person_id IS NULL AS first_seen,
		        (f.patient_id, f.active, f.deleted, f.valid_from, f.valid_until)
		            IS DISTINCT FROM (s.patient_id, coalesce(s.active, false), v.deleted, s.valid_from, s.valid_until) AS differs
		    FROM staged_versions v LEFT JOIN staged_related s USING (file, line, entry)
		    LEFT JOIN app.fhir_related_persons f ON f.related_person_id = v.id
		    WHERE v.kind = 'related_person'
		    UNION ALL
		    SELECT f.related_person_id, f.patient_id, f.active, f.deleted, f.valid_from, f.valid_until,
		        false, NULL, NULL, NULL, f.linked_to, false, false
		    FROM app.fhir_related_persons f JOIN touched USING (patient_id)
		    WHERE NOT EXISTS (SELECT FROM staged_versions v WHERE v.kind = 'related_person' AND v.id = f.related_person_id)
		) n
		LEFT JOIN replaced ON replaced.patient_id = n.patient_id
		LEFT JOIN reachable ON NOT n.deleted AND reachable.patient_id =
		    CASE WHEN replaced.patient_id IS NULL THEN n.patient_id ELSE replaced.successor END`, `
		ANALYZE represented`, `
		UPDATE staged_portal_users u SET active = false FROM represented n
		WHERE n.related_person_id = u.portal_user_id AND n.leads_to IS NULL AND u.active`, `
		INSERT INTO staged_portal_users (portal_user_id, name, email, active)
		SELECT u.portal_user_id, u.name, u.email, n.active AND n.leads_to IS NOT NULL
		FROM represented n JOIN app.portal_users u ON u.portal_user_id = n.related_person_id
		WHERE (n.deleted OR (n.led_to IS NULL) <> (n.leads_to IS NULL)) AND u.active <> (n.active AND n.leads_to IS NOT NULL)
		  AND NOT EXISTS (SELECT FROM staged_portal_users s WHERE s.portal_user_id = u.portal_user_id)
		  AND NOT EXISTS (SELECT FROM app.patients p WHERE p.patient_id = u.portal_user_id)`, `
		INSERT INTO staged_links (file, line, entry, portal_user_id, patient_id, relationship, valid_from, valid_until)
		SELECT file, line, entry, related_person_id, leads_to, 'representative', valid_from, valid_until
		FROM represented WHERE leads_to IS NOT NULL AND (here OR led_to IS DISTINCT FROM leads_to)`)
	if err != nil {
		return err
	}
	return m.storeRelated(ctx, tx)
}

// endLinks ends the links that the folder revokes; their last day is the day before the
// import. These are links of a RelatedPerson to a patient that it no longer represents, and
// links of any portal user to a replaced or deleted patient. A representative from a CSV
// file gets a link to the successor.
func (m *Merge) endLinks(ctx context.Context, tx pgx.Tx) error {
	today := m.Today.Format(time.DateOnly) // digits and dashes
	yesterday := m.Today.AddDate(0, 0, -1).Format(time.DateOnly)
	return m.exec(ctx, "ending links", fmt.Sprintf(`
		CREATE TEMP TABLE lasting_links ON COMMIT DROP AS
		WITH named AS (
		    SELECT portal_user_no, patient_no FROM app.links JOIN app.patients USING (patient_no) JOIN gone USING (patient_id)
		    UNION SELECT portal_user_no, patient_no FROM app.links JOIN app.portal_users u USING (portal_user_no)
		    JOIN represented n ON n.related_person_id = u.portal_user_id WHERE n.first_seen OR n.led_to IS DISTINCT FROM n.leads_to)
		SELECT u.portal_user_id, p.patient_id, l.relationship, l.valid_from, l.valid_until
		FROM named JOIN app.links l USING (portal_user_no, patient_no) JOIN app.portal_users u USING (portal_user_no) JOIN app.patients p USING (patient_no)
		WHERE l.valid_until IS NULL OR l.valid_until >= '%s'`, today), `
		CREATE TEMP TABLE taken_back ON COMMIT DROP AS
		SELECT l.*, g.patient_id IS NULL AND n.first_seen AS earlier, n.file, n.line, n.entry,
		    g.successor, l.relationship = 'representative' AND g.successor IS NOT NULL AND n.led_to IS DISTINCT FROM l.patient_id AS follows
		FROM lasting_links l LEFT JOIN gone g USING (patient_id)
		LEFT JOIN represented n ON n.related_person_id = l.portal_user_id AND l.relationship = 'representative'
		WHERE g.patient_id IS NOT NULL
		   OR n.led_to = l.patient_id AND n.leads_to IS DISTINCT FROM n.led_to
		   -- For rows of an earlier version it is unknown which link the RelatedPerson made.
		   -- If it names a patient that it has no link to, it has moved.
		   OR n.first_seen AND l.patient_id IS DISTINCT FROM n.leads_to AND NOT EXISTS (SELECT FROM lasting_links k
		       WHERE k.portal_user_id = l.portal_user_id AND k.patient_id = n.leads_to AND k.relationship = 'representative')`, `
		INSERT INTO staged_links (portal_user_id, patient_id, relationship, valid_from, valid_until)
		SELECT DISTINCT ON (l.portal_user_id, l.successor) l.portal_user_id, l.successor, 'representative', l.valid_from, l.valid_until
		FROM taken_back l JOIN reachable ON reachable.patient_id = l.successor
		WHERE l.follows
		  AND NOT EXISTS (SELECT FROM staged_links s WHERE s.portal_user_id = l.portal_user_id AND s.patient_id = l.successor AND s.relationship = 'representative')
		  AND NOT EXISTS (SELECT FROM app.links a JOIN app.portal_users u USING (portal_user_no) JOIN app.patients p USING (patient_no)
		      WHERE u.portal_user_id = l.portal_user_id AND p.patient_id = l.successor AND a.relationship = 'representative')
		ORDER BY l.portal_user_id, l.successor, l.valid_until DESC`, fmt.Sprintf(`
		INSERT INTO staged_links (portal_user_id, patient_id, relationship, valid_from, valid_until)
		SELECT portal_user_id, patient_id, relationship, CASE WHEN valid_from > '%[1]s' THEN '%[1]s' ELSE valid_from END, '%[1]s'
		FROM taken_back l WHERE NOT EXISTS (SELECT FROM staged_links s
		    WHERE (s.portal_user_id, s.patient_id, s.relationship) = (l.portal_user_id, l.patient_id, l.relationship))`, yesterday))
}

// warnOfUnknown warns of resources that refer to an unknown patient, and of decisions about
// links of unknown origin.
func (m *Merge) warnOfUnknown(ctx context.Context, tx pgx.Tx) error {
	for _, w := range []struct{ query, field, reason string }{{`
		SELECT file, line, entry FROM represented WHERE here AND NOT deleted AND leads_to IS NULL AND patient_id IS NOT NULL`,
		"patient.reference", "names a patient who is neither in these files nor in the directory, or was deleted: the account is inactive until that patient is imported",
	}, {`
		SELECT file, line, entry FROM staged_episodes e WHERE state <> 'void' AND patient_id IS NOT NULL
		  AND NOT EXISTS (SELECT FROM reachable k WHERE k.patient_id = e.patient_id)
		  AND NOT EXISTS (SELECT FROM gone g WHERE g.patient_id = e.patient_id)`,
		"patient.reference", "names a patient who is neither in these files nor in the directory: it counts once that patient is imported",
	}, {`
		SELECT s.file, s.line, s.entry FROM staged_replacements s JOIN replaced r ON r.patient_id = s.replaced
		WHERE s.replaced = s.said_by AND r.successor IS NOT NULL
		  AND NOT EXISTS (SELECT FROM reachable k WHERE k.patient_id = r.successor)`,
		"link.other.reference", "names a successor who is neither in these files nor in the directory, or was deleted: no one is written to about this patient until the successor is imported",
	}, {`
		SELECT DISTINCT file, line, entry FROM taken_back WHERE earlier`,
		"patient.reference", "names a different patient than an earlier import did: the link to the earlier patient was ended",
	}, {`
		SELECT DISTINCT n.file, n.line, n.entry FROM represented n JOIN lasting_links l ON l.portal_user_id = n.related_person_id
		WHERE n.first_seen AND l.relationship = 'representative' AND l.patient_id IS DISTINCT FROM n.leads_to
		  AND NOT EXISTS (SELECT FROM taken_back t WHERE t.portal_user_id = l.portal_user_id AND t.patient_id = l.patient_id)`,
		"patient.reference", "names one patient, and an earlier import linked this portal user to others too: if those links no longer apply, end them with a links.csv",
	}} {
		if err := staging.EachPlace(ctx, tx, w.query, nil, func(at source.Place) {
			m.Warnings.Add(source.Fault{Place: at, Field: w.field, Reason: w.reason})
		}); err != nil {
			return fmt.Errorf("looking for patients who are not known: %w", err)
		}
	}
	return nil
}
