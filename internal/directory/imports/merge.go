package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/imports/resources"
	"postern/internal/directory/imports/staging"
	"postern/internal/directory/source"
	"postern/internal/text/folding"
)

// The second half of an import: the staged rows are checked together and merged into the
// directory, with one statement for each table. Rows are inserted sorted by id, so that
// writes to the indexes are close together. Only new rows take a number: numbers have 31
// bits and must not be used up by rows that exist already.

// merge updates the directory from the files, or refuses them. A dry run only counts the
// changes.
func (im *importer) merge(ctx context.Context, tx pgx.Tx) (Summary, error) {
	if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64MB'`); err != nil {
		return Summary{}, err
	}
	var summary Summary
	checks := []func(context.Context, pgx.Tx) error{im.refuseDuplicates, im.refuseUnknownEnds, im.noteStatus}
	if im.fhir {
		checks = []func(context.Context, pgx.Tx) error{func(ctx context.Context, tx pgx.Tx) error {
			merge := resources.Merge{Tx: tx, Today: im.opts.Today, Faults: &im.faults, Warnings: &im.warnings}
			counts, err := merge.Run(ctx)
			summary.Resources = Changes(counts)
			return err
		}}
	}
	for _, check := range append(checks, im.show) {
		if err := check(ctx, tx); err != nil {
			return Summary{}, err
		}
	}
	if err := im.faults.Err(); err != nil {
		return Summary{}, err
	}
	if err := tx.QueryRow(ctx, readdressed).Scan(&summary.Readdressed); err != nil {
		return Summary{}, fmt.Errorf("counting the accounts whose address changes: %w", err)
	}
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

// Each merge statement returns the number of staged, new and changed rows. All parts of
// such a statement see the table as it was before.

var mergePatients = `
WITH changed AS (
    UPDATE app.patients p
    SET given_name = s.given_name, family_name = s.family_name, birth_date = s.birth_date,
        status = s.status, deceased = s.deceased, ` + setWords("p") + `
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

// The words of a name come from the staged row s, made by the current folding rule.
const wordColumns = `words, words_version`

var stagedWords = fmt.Sprintf(`array_to_tsvector(string_to_array(s.words, ' ')), %d`, folding.Version)

// setWords sets the words of a row of table. It keeps them if the staged row has none:
// such a row is for a person in the directory whose name does not change (package resources).
func setWords(table string) string {
	return fmt.Sprintf(`(%[1]s) = (SELECT %[2]s WHERE s.words IS NOT NULL UNION ALL SELECT %[3]s.words, %[3]s.words_version WHERE s.words IS NULL)`,
		wordColumns, stagedWords, table)
}

var mergePortalUsers = `
WITH changed AS (
    UPDATE app.portal_users u
    SET name = s.name, email = s.email, active = s.active, ` + setWords("u") + `,
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

// readdressed counts the portal users with an account whose address changes. The trigger
// note_address_changes acts for them.
const readdressed = `
SELECT count(*) FROM app.portal_accounts a JOIN app.portal_users u USING (portal_user_no) JOIN staged_portal_users s USING (portal_user_id)
WHERE lower(u.email) <> lower(s.email)`

// resolveLinks finds the numbers of the portal user and the patient of each link; both
// are in the directory by now. It makes a table because a table has statistics; a part of
// the next statement would have none.
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

// refuseDuplicates finds duplicate rows. The second and later lines are reported as wrong
// and removed, so that the others can still be checked.
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
			    SELECT s.ctid AS at, file, line, entry, first_value(file) OVER same AS first_file,
			        first_value(line) OVER same AS first_line, row_number() OVER same AS nth
			    FROM %[1]s s JOIN twice USING (%[2]s)
			    WINDOW same AS (PARTITION BY %[2]s ORDER BY file, line)
			), gone AS (
			    DELETE FROM %[1]s WHERE ctid IN (SELECT at FROM ranked WHERE nth > 1)
			)
			SELECT file, line, entry, first_file, first_line FROM ranked WHERE nth > 1 ORDER BY file, line`, d.table, d.key)
		var first source.Place
		if err := staging.EachPlace(ctx, tx, query, []any{&first.File, &first.Line}, func(at source.Place) {
			im.duplicate(d.table, at, first)
		}); err != nil {
			return fmt.Errorf("looking for duplicates: %w", err)
		}
	}
	return nil
}

// duplicate reports that the row at a place repeats the row at an earlier one.
func (im *importer) duplicate(table string, at, first source.Place) {
	of := im.faults.At(first)
	if at.File == first.File {
		of = fmt.Sprintf("line %d", first.Line)
	}
	switch table {
	case "staged_links":
		im.faults.Add(source.Fault{Place: at, Reason: "is the same link as " + of})
	case "staged_portal_users":
		im.faults.Add(source.Fault{Place: at, Field: "portal_user_id", Reason: "is already used at " + of})
	default:
		im.faults.Add(source.Fault{Place: at, Field: "patient_id", Reason: "is already used at " + of})
	}
}

// noteStatus stores a status that a CSV file changes, so that a FHIR export without
// episodes of the patient does not change it back.
func (im *importer) noteStatus(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		UPDATE app.fhir_patients f SET status_before = s.status
		FROM staged_patients s JOIN app.patients p USING (patient_id)
		WHERE f.patient_id = s.patient_id AND p.status <> s.status`)
	if err != nil {
		return fmt.Errorf("noting a patient's status: %w", err)
	}
	return nil
}

// refuseUnknownEnds finds links to a patient or portal user that is neither in these
// files nor in the directory. It removes them, so that the others can still be shown.
func (im *importer) refuseUnknownEnds(ctx context.Context, tx pgx.Tx) error {
	const noUser = `NOT EXISTS (SELECT FROM staged_portal_users u WHERE u.portal_user_id = s.portal_user_id)
		AND NOT EXISTS (SELECT FROM app.portal_users u WHERE u.portal_user_id = s.portal_user_id)`
	const noPatient = `NOT EXISTS (SELECT FROM staged_patients p WHERE p.patient_id = s.patient_id)
		AND NOT EXISTS (SELECT FROM app.patients p WHERE p.patient_id = s.patient_id)`
	const unknown = `
		SELECT file, line, entry, false FROM staged_links s WHERE ` + noUser + `
		UNION ALL
		SELECT file, line, entry, true FROM staged_links s WHERE ` + noPatient + ` ORDER BY 1, 2, 4`
	found := false
	var patient bool
	err := staging.EachPlace(ctx, tx, unknown, []any{&patient}, func(at source.Place) {
		found = true
		if im.faults.Cut {
			return // the patient or portal user may be in the unread rest of a file
		}
		if patient {
			im.faults.Add(source.Fault{Place: at, Field: "patient_id", Reason: "names no patient in these files or in the directory"})
		} else {
			im.faults.Add(source.Fault{Place: at, Field: "portal_user_id", Reason: "names no portal user in these files or in the directory"})
		}
	})
	if err == nil && found {
		_, err = tx.Exec(ctx, `DELETE FROM staged_links s WHERE (`+noUser+`) OR (`+noPatient+`)`)
	}
	if err != nil {
		return fmt.Errorf("resolving links: %w", err)
	}
	return nil
}

// analyze updates the planner's statistics after a large import that is not vacuumed. Only the
// tables' owner may do so; under another role it is left to autovacuum.
func (im *importer) analyze(ctx context.Context, tx pgx.Tx, s Summary) error {
	if im.opts.Vacuum != nil || !s.large() {
		return nil
	}
	const analyze = `SET LOCAL default_statistics_target TO DEFAULT; ANALYZE app.patients, app.portal_users, app.links`
	if _, err := tx.Exec(ctx, analyze); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	return nil
}
