// Package resources stores the FHIR resources of an import (the tables app.fhir_…) and
// computes the directory's rows from them. It computes the row for each person in the folder
// from all stored resources, not only from this folder. So importing an export in parts, one
// after the other, has the same result as importing all of it at once.
//
// ADRs 41 and 42 say which defects refuse an import and which are warnings.
package resources

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/imports/staging"
	"postern/internal/directory/source"
)

// Merge stores the resources of a folder, and changes the staged rows to what the
// directory must hold afterwards. Its results are rows in the staged tables, the same as
// for CSV files.
//
// It is for one call of [Merge.Run], in one goroutine.
type Merge struct {
	Tx               pgx.Tx    // with the staged tables, including those for resources
	Today            time.Time // links that the folder revokes end on the day before
	Faults, Warnings *source.Faults

	changes Counts // of the stored resources
	was     succession
	is      succession
	// claimsChanged says whether a claim that a patient is replaced was added or removed.
	claimsChanged bool
}

// Counts counts the stored resources of a folder. One that is stored but not in the folder is
// not counted.
type Counts struct{ New, Changed, Unchanged int }

// Run makes the merge and counts the changes of the stored resources. It fails with a
// [source.Refused] if it is not clear which portal users may be written to.
func (m *Merge) Run(ctx context.Context) (Counts, error) {
	for _, step := range []func(context.Context, pgx.Tx) error{
		m.settleVersions, m.refuseSharedIDs, m.stopIfWrong, m.findTouched, m.store, m.findSuccessors, m.stopIfWrong,
		m.judgeStatus, m.closeAccounts, m.findRepresented, m.endLinks, m.warnOfUnknown,
	} {
		if err := step(ctx, m.Tx); err != nil {
			return Counts{}, err
		}
	}
	return m.changes, nil
}

// stopIfWrong ends the merge if wrong lines were found: they would make its result wrong.
func (m *Merge) stopIfWrong(context.Context, pgx.Tx) error { return m.Faults.Err() }

// exec runs statements one after the other.
func (m *Merge) exec(ctx context.Context, doing string, statements ...string) error {
	for _, statement := range statements {
		if _, err := m.Tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}

// refuseSharedIDs finds RelatedPersons with the id of a Patient. Both would have the same
// account.
func (m *Merge) refuseSharedIDs(ctx context.Context, tx pgx.Tx) error {
	var other source.Place
	err := staging.EachPlace(ctx, tx, `
		SELECT r.file, r.line, r.entry, p.file, p.line FROM staged_versions r JOIN staged_versions p USING (id)
		WHERE r.kind = 'related_person' AND p.kind = 'patient' AND NOT r.deleted AND NOT p.deleted`,
		[]any{&other.File, &other.Line}, func(at source.Place) {
			m.Faults.Add(source.Fault{Place: at, Field: "id", Reason: "is also the id of the Patient at " + m.Faults.At(other) + ": both would be the same portal user"})
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
			m.Faults.Add(source.Fault{Place: at, Field: "id", Reason: "is also the id of a " + of + " in the directory: both would be the same portal user"})
		})
	if err != nil {
		return fmt.Errorf("comparing ids: %w", err)
	}
	return nil
}

// findTouched finds the patients that the folder affects: by a Patient resource, by an
// episode of care (now or earlier), or by a replacement.
func (m *Merge) findTouched(ctx context.Context, tx pgx.Tx) error {
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
