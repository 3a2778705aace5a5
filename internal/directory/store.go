package directory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/imports/staging"
	"postern/internal/directory/source"
)

// An import of FHIR first updates the stored resources (the tables app.fhir_…). Then it
// computes the directory's row for each person in the folder from all stored resources,
// not only from this folder. So importing an export in parts, one after the other, has the
// same result as importing all of it at once.

// resourceMerge stores the resources of a folder, and changes the staged rows to what the
// directory must hold afterwards. Its results are rows in the staged tables, the same as
// for CSV files.
type resourceMerge struct {
	tx               pgx.Tx
	today            time.Time // links that the folder revokes end on the day before
	faults, warnings *source.Faults

	changes resourceCounts // of the stored resources
	was     succession
	is      succession
	// claimsChanged says whether a claim that a patient is replaced was added or removed.
	claimsChanged bool
}

// resourceCounts counts resources by what became of them.
type resourceCounts struct{ New, Changed, Unchanged int }

// run makes the merge and counts the changes of the stored resources. It fails with a
// [Refused] if it is not clear which portal users may be written to.
func (m *resourceMerge) run(ctx context.Context) (resourceCounts, error) {
	for _, step := range []func(context.Context, pgx.Tx) error{
		m.settleVersions, m.refuseSharedIDs, m.stopIfWrong, m.findTouched, m.store, m.findSuccessors, m.stopIfWrong,
		m.judgeStatus, m.closeAccounts, m.findRepresented, m.endLinks, m.warnOfUnknown,
	} {
		if err := step(ctx, m.tx); err != nil {
			return resourceCounts{}, err
		}
	}
	return m.changes, nil
}

// stopIfWrong ends the merge if wrong lines were found: they would make its result wrong.
func (m *resourceMerge) stopIfWrong(context.Context, pgx.Tx) error { return m.faults.Err() }

// exec runs statements one after the other.
func (m *resourceMerge) exec(ctx context.Context, doing string, statements ...string) error {
	for _, statement := range statements {
		if _, err := m.tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}

// refuseSharedIDs finds RelatedPersons with the id of a Patient. Both would have the same
// account.
func (m *resourceMerge) refuseSharedIDs(ctx context.Context, tx pgx.Tx) error {
	var other source.Place
	err := staging.EachPlace(ctx, tx, `
		SELECT r.file, r.line, r.entry, p.file, p.line FROM staged_versions r JOIN staged_versions p USING (id)
		WHERE r.kind = 'related_person' AND p.kind = 'patient' AND NOT r.deleted AND NOT p.deleted`,
		[]any{&other.File, &other.Line}, func(at source.Place) {
			m.faults.Add(source.Fault{Place: at, Field: "id", Reason: "is also the id of the Patient at " + m.faults.At(other) + ": both would be the same portal user"})
		})
	if err != nil {
		return fmt.Errorf("comparing ids: %w", err)
	}
	var patient bool
	err = staging.EachPlace(ctx, tx, `
		SELECT r.file, r.line, r.entry, false FROM staged_versions r JOIN app.patients p ON p.patient_id = r.id
		WHERE r.kind = 'related_person' AND NOT r.deleted
		  AND NOT EXISTS (SELECT FROM staged_versions s WHERE s.kind = 'patient' AND s.id = r.id AND NOT s.deleted)
		UNION ALL
		SELECT p.file, p.line, p.entry, true FROM staged_versions p JOIN app.fhir_related_persons r ON r.related_person_id = p.id
		WHERE p.kind = 'patient' AND NOT p.deleted AND NOT r.deleted
		  AND NOT EXISTS (SELECT FROM staged_versions s WHERE s.kind = 'related_person' AND s.id = p.id)`,
		[]any{&patient}, func(at source.Place) {
			of := "patient"
			if patient {
				of = "RelatedPerson"
			}
			m.faults.Add(source.Fault{Place: at, Field: "id", Reason: "is also the id of a " + of + " in the directory: both would be the same portal user"})
		})
	if err != nil {
		return fmt.Errorf("comparing ids: %w", err)
	}
	return nil
}

// findTouched finds the patients that the folder affects: by a Patient resource, by an
// episode of care (now or earlier), or by a replacement.
func (m *resourceMerge) findTouched(ctx context.Context, tx pgx.Tx) error {
	if err := m.exec(ctx, "finding the patients of the export", `
		CREATE TEMP TABLE touched (patient_id text COLLATE "C" PRIMARY KEY) ON COMMIT DROP`, `
		INSERT INTO touched
		SELECT id FROM staged_versions WHERE kind = 'patient'
		UNION SELECT patient_id FROM staged_episodes WHERE patient_id IS NOT NULL
		UNION SELECT e.patient_id FROM app.fhir_episodes e JOIN staged_versions s ON s.kind = 'episode' AND s.id = e.episode_id
		    WHERE e.patient_id IS NOT NULL
		UNION SELECT replaced FROM staged_replacements
		UNION SELECT r.replaced FROM app.fhir_replacements r JOIN staged_versions s ON s.kind = 'patient' AND s.id = r.said_by`); err != nil {
		return err
	}
	claims, err := m.claims(ctx, tx)
	m.was, _ = resolveSuccessions(claims)
	return err
}

// claims reads the stored claims that one patient is replaced by another.
func (m *resourceMerge) claims(ctx context.Context, tx pgx.Tx) (claims []source.Replacement, err error) {
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
func (m *resourceMerge) store(ctx context.Context, tx pgx.Tx) error {
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
func (m *resourceMerge) storeRelated(ctx context.Context, tx pgx.Tx) error {
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

// findSuccessors finds the successors of replaced patients, and refuses contradictions.
func (m *resourceMerge) findSuccessors(ctx context.Context, tx pgx.Tx) error {
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
		m.faults.Add(source.Fault{Place: at, Field: "link", Reason: w.String()})
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
func (m *resourceMerge) stageSuccessors(ctx context.Context, tx pgx.Tx, connected []string) error {
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

// judgeStatus decides which patients are active and which are discharged. An episode of
// care of a replaced patient counts for the successor.
func (m *resourceMerge) judgeStatus(ctx context.Context, tx pgx.Tx) error {
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
			m.warnings.Add(source.Fault{Place: at, Field: "id", Reason: "was discharged before, and no episodes of care are known for this patient: " +
				"the patient stays discharged until an export has them, or a CSV file sets another status"})
		})
	if err != nil {
		return fmt.Errorf("judging episodes of care: %w", err)
	}
	return nil
}

// closeAccounts sets the own accounts of replaced or deleted patients to inactive, and
// those of patients who are no longer replaced to active.
func (m *resourceMerge) closeAccounts(ctx context.Context, _ pgx.Tx) error {
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
func (m *resourceMerge) findRepresented(ctx context.Context, tx pgx.Tx) error {
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
func (m *resourceMerge) endLinks(ctx context.Context, tx pgx.Tx) error {
	today := m.today.Format(time.DateOnly) // digits and dashes
	yesterday := m.today.AddDate(0, 0, -1).Format(time.DateOnly)
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
func (m *resourceMerge) warnOfUnknown(ctx context.Context, tx pgx.Tx) error {
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
			m.warnings.Add(source.Fault{Place: at, Field: w.field, Reason: w.reason})
		}); err != nil {
			return fmt.Errorf("looking for patients who are not known: %w", err)
		}
	}
	return nil
}
