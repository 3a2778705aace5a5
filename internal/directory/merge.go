package directory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/folding"
)

// The import's second half: what was staged is checked as a whole and merged into
// the directory, a statement a table. Rows go in sorted by id, which keeps the
// indexes' writes together, and take a number only if they are new: numbers are
// 31 bits and must not be spent on rows that are there.

// merge leaves the directory as the files say, or refuses them. A dry run counts what
// would come of it.
func (im *importer) merge(ctx context.Context, tx pgx.Tx) (Summary, error) {
	if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64MB'`); err != nil {
		return Summary{}, err
	}
	for _, check := range []func(context.Context, pgx.Tx) error{
		im.refuseDuplicates, im.refusePatientsIDs, im.judgeEpisodes, im.refuseUnknownEnds, im.show,
	} {
		if err := check(ctx, tx); err != nil {
			return Summary{}, err
		}
	}
	if err := im.faults.err(); err != nil {
		return Summary{}, err
	}
	var summary Summary
	for _, step := range []struct {
		kind  Kind
		of    *Changes
		merge string
	}{
		{KindPatient, &summary.Patients, mergePatients},
		{KindPortalUser, &summary.PortalUsers, mergePortalUsers},
		{KindLink, &summary.Links, mergeLinks},
	} {
		switch {
		case im.opts.DryRun:
			step.merge = compared[step.kind].count()
		case step.kind == KindLink:
			if _, err := tx.Exec(ctx, resolveLinks); err != nil {
				return Summary{}, fmt.Errorf("resolving links: %w", err)
			}
		}
		var total int
		if err := tx.QueryRow(ctx, step.merge).Scan(&total, &step.of.New, &step.of.Changed); err != nil {
			return Summary{}, fmt.Errorf("merging: %w", err)
		}
		step.of.Unchanged = total - step.of.New - step.of.Changed
		im.progress(im.done + im.size*partMerge)
	}
	im.progress(im.size * partsAll)
	if im.opts.DryRun {
		return summary, nil
	}
	return summary, im.analyze(ctx, tx, summary)
}

// Each merge gives the number of rows staged, of new ones and of changed ones. The
// parts of such a statement see the table as it was before.

var mergePatients = `
WITH changed AS (
    UPDATE app.patients p
    SET given_name = s.given_name, family_name = s.family_name, birth_date = s.birth_date,
        status = s.status, deceased = s.deceased, ` + setWords + `
    FROM staged_patients s
    WHERE p.patient_id = s.patient_id
      AND (p.given_name, p.family_name, p.birth_date, p.status, p.deceased)
          IS DISTINCT FROM (s.given_name, s.family_name, s.birth_date, s.status, s.deceased)
    RETURNING 1
), new AS (
    INSERT INTO app.patients (patient_id, given_name, family_name, birth_date, status, deceased, ` + wordColumns + `)
    SELECT patient_id, given_name, family_name, birth_date, status, deceased, ` + stagedWords + `
    FROM staged_patients s
    WHERE NOT EXISTS (SELECT FROM app.patients p WHERE p.patient_id = s.patient_id)
    ORDER BY patient_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM staged_patients), (SELECT count(*) FROM new), (SELECT count(*) FROM changed)`

// The words of a name are those of the staged row s, by the current rule.
var (
	wordColumns = `words, words_version`
	stagedWords = fmt.Sprintf(`array_to_tsvector(string_to_array(s.words, ' ')), %d`, folding.Version)
	setWords    = `(` + wordColumns + `) = ROW (` + stagedWords + `)`
)

var mergePortalUsers = `
WITH changed AS (
    UPDATE app.portal_users u
    SET name = s.name, email = s.email, active = s.active, ` + setWords + `,
        email_version = u.email_version + (lower(u.email) <> lower(s.email))::integer
    FROM staged_portal_users s
    WHERE u.portal_user_id = s.portal_user_id
      AND (u.name, u.email, u.active) IS DISTINCT FROM (s.name, s.email, s.active)
    RETURNING 1
), new AS (
    INSERT INTO app.portal_users (portal_user_id, name, email, active, ` + wordColumns + `)
    SELECT portal_user_id, name, email, active, ` + stagedWords + `
    FROM staged_portal_users s
    WHERE NOT EXISTS (SELECT FROM app.portal_users u WHERE u.portal_user_id = s.portal_user_id)
    ORDER BY portal_user_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM staged_portal_users), (SELECT count(*) FROM new), (SELECT count(*) FROM changed)`

// resolveLinks finds the numbers of both ends of each link, which are in the directory
// by now. A table has statistics, and a part of the next statement would have none.
const resolveLinks = `
CREATE TEMP TABLE resolved_links ON COMMIT DROP AS
SELECT u.portal_user_no, p.patient_no, s.relationship, s.valid_from, s.valid_until
FROM staged_links s JOIN app.portal_users u USING (portal_user_id) JOIN app.patients p USING (patient_id);
ANALYZE resolved_links`

const mergeLinks = `
WITH changed AS (
    UPDATE app.links l
    SET valid_from = s.valid_from, valid_until = s.valid_until
    FROM resolved_links s
    WHERE l.portal_user_no = s.portal_user_no AND l.patient_no = s.patient_no AND l.relationship = s.relationship
      AND (l.valid_from, l.valid_until) IS DISTINCT FROM (s.valid_from, s.valid_until)
    RETURNING 1
), new AS (
    INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_from, valid_until)
    SELECT portal_user_no, patient_no, relationship, valid_from, valid_until
    FROM resolved_links s
    WHERE NOT EXISTS (SELECT FROM app.links l WHERE l.portal_user_no = s.portal_user_no
        AND l.patient_no = s.patient_no AND l.relationship = s.relationship)
    ORDER BY portal_user_no, patient_no, relationship
    RETURNING 1
)
SELECT (SELECT count(*) FROM resolved_links), (SELECT count(*) FROM new), (SELECT count(*) FROM changed)`

// refuseDuplicates finds what stands twice. The second and later lines are wrong,
// and are taken away, so that the rest can still be checked.
func (im *importer) refuseDuplicates(ctx context.Context, tx pgx.Tx) error {
	for _, d := range []struct{ table, key string }{
		{"staged_patients", "patient_id"},
		{"staged_portal_users", "portal_user_id"},
		{"staged_links", "portal_user_id, patient_id, relationship"},
	} {
		query := fmt.Sprintf(`
			WITH twice AS (
			    SELECT %[2]s FROM %[1]s GROUP BY %[2]s HAVING count(*) > 1
			), ranked AS (
			    SELECT s.ctid AS at, file, line, first_value(file) OVER same AS first_file,
			        first_value(line) OVER same AS first_line, row_number() OVER same AS nth
			    FROM %[1]s s JOIN twice USING (%[2]s)
			    WINDOW same AS (PARTITION BY %[2]s ORDER BY file, line)
			), gone AS (
			    DELETE FROM %[1]s WHERE ctid IN (SELECT at FROM ranked WHERE nth > 1)
			)
			SELECT file, line, first_file, first_line FROM ranked WHERE nth > 1 ORDER BY file, line`, d.table, d.key)
		var first place
		if err := im.eachPlace(ctx, tx, query, []any{&first.file, &first.line}, func(at place) {
			im.duplicate(d.table, at, first)
		}); err != nil {
			return fmt.Errorf("looking for duplicates: %w", err)
		}
	}
	return nil
}

// duplicate notes that what stands at a place stands at an earlier one too. A FHIR
// resource is staged in several tables; the first that shows it is enough.
func (im *importer) duplicate(table string, at, first place) {
	of := fmt.Sprintf("line %d", first.line)
	if at.file != first.file {
		of = fmt.Sprintf("%s:%d", im.faults.files[first.file], first.line)
	}
	switch is, was := im.resourceType(at.file), im.resourceType(first.file); {
	case is == "" && table == "staged_links":
		im.faults.add(fault{place: at, reason: "is the same link as " + of})
	case is == "" && table == "staged_portal_users":
		im.faults.add(fault{place: at, field: "portal_user_id", reason: "stands already at " + of})
	case is == "":
		im.faults.add(fault{place: at, field: "patient_id", reason: "stands already at " + of})
	case is != was:
		im.faults.add(fault{place: at, field: "id", reason: "is that of the " + was + " at " + of + ": both would be the same portal user"})
	case table == "staged_patients", table == "staged_portal_users" && is == "RelatedPerson":
		im.faults.add(fault{place: at, field: "id", reason: "stands already at " + of})
	}
}

// refusePatientsIDs finds FHIR RelatedPersons that have the id of a patient whom an
// earlier import brought: they would take over that patient's own account.
func (im *importer) refusePatientsIDs(ctx context.Context, tx pgx.Tx) error {
	const query = `
		SELECT s.file, s.line FROM staged_portal_users s JOIN app.patients p ON p.patient_id = s.portal_user_id
		WHERE s.file = ANY($1) ORDER BY s.file, s.line`
	return im.eachPlace(ctx, tx, query, nil, func(at place) {
		im.faults.add(fault{place: at, field: "id", reason: "is that of a patient of the directory: both would be the same portal user"})
	}, im.filesOf("RelatedPerson"))
}

// judgeEpisodes discharges the FHIR patients all of whose episodes of care are over.
func (im *importer) judgeEpisodes(ctx context.Context, tx pgx.Tx) error {
	const unknown = `
		SELECT file, line FROM staged_episodes e
		WHERE NOT EXISTS (SELECT FROM staged_patients p WHERE p.patient_id = e.patient_id) ORDER BY file, line`
	err := im.eachPlace(ctx, tx, unknown, nil, func(at place) {
		im.faults.add(fault{place: at, field: "patient.reference", reason: "names a patient who is in none of the Patient files"})
	})
	if err != nil {
		return fmt.Errorf("checking episodes of care: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE staged_patients p SET status = 'discharged'
		FROM (SELECT patient_id FROM staged_episodes GROUP BY patient_id HAVING bool_and(over)) e
		WHERE p.patient_id = e.patient_id`)
	if err != nil {
		return fmt.Errorf("judging episodes of care: %w", err)
	}
	return nil
}

// refuseUnknownEnds finds links whose ends are neither in these files nor in the
// directory. They are taken away, so that the rest can still be shown.
func (im *importer) refuseUnknownEnds(ctx context.Context, tx pgx.Tx) error {
	const nobody = `NOT EXISTS (SELECT FROM staged_portal_users u WHERE u.portal_user_id = s.portal_user_id)
		AND NOT EXISTS (SELECT FROM app.portal_users u WHERE u.portal_user_id = s.portal_user_id)`
	const noPatient = `NOT EXISTS (SELECT FROM staged_patients p WHERE p.patient_id = s.patient_id)
		AND NOT EXISTS (SELECT FROM app.patients p WHERE p.patient_id = s.patient_id)`
	const unknown = `
		SELECT file, line, false FROM staged_links s WHERE ` + nobody + `
		UNION ALL
		SELECT file, line, true FROM staged_links s WHERE ` + noPatient + ` ORDER BY 1, 2, 3`
	found := false
	var patient bool
	err := im.eachPlace(ctx, tx, unknown, []any{&patient}, func(at place) {
		found = true
		if im.faults.cut {
			return // what a link names may stand in the rest of a file
		}
		user, of := "portal_user_id", "patient_id"
		if im.resourceType(at.file) != "" {
			user, of = "id", "patient.reference"
		}
		if patient {
			im.faults.add(fault{place: at, field: of, reason: "names no patient of these files or of the directory"})
		} else {
			im.faults.add(fault{place: at, field: user, reason: "names no portal user of these files or of the directory"})
		}
	})
	if err == nil && found {
		_, err = tx.Exec(ctx, `DELETE FROM staged_links s WHERE (`+nobody+`) OR (`+noPatient+`)`)
	}
	if err != nil {
		return fmt.Errorf("resolving links: %w", err)
	}
	return nil
}

// analyze lets the planner know of an import that changed much, as far as the role
// may: under another than the tables' owner it is left to autovacuum.
func (im *importer) analyze(ctx context.Context, tx pgx.Tx, s Summary) error {
	const much = 10_000
	if s.Patients.New+s.PortalUsers.New+s.Links.New < much {
		return nil
	}
	if _, err := tx.Exec(ctx, `ANALYZE app.patients, app.portal_users, app.links`); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	return nil
}

// eachPlace runs a query whose first two columns are a place, scans the others into
// more, and calls found for each row.
func (im *importer) eachPlace(ctx context.Context, tx pgx.Tx, query string, more []any, found func(place), args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	var at place
	_, err = pgx.ForEachRow(rows, append([]any{&at.file, &at.line}, more...), func() error {
		found(at)
		return nil
	})
	return err
}

func (im *importer) filesOf(resourceType string) (files []int32) {
	for i := range im.faults.files {
		if im.resourceType(i) == resourceType {
			files = append(files, int32(i)) // #nosec G115 -- a handful
		}
	}
	return files
}
