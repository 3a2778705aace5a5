package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A dry run shows some of its changes, a few rows of each kind.

// Shown is a row that an import would add or change.
type Shown struct {
	Kind    Kind
	ID      string // of the patient or the portal user; of a link, the portal user's
	Patient string // for a link: the patient's id
	New     bool
	Fields  []FieldChange // for a new row all fields with a value, otherwise the changed ones
}

// Kind is the kind of a row of the directory.
type Kind string

// The kinds of rows.
const (
	KindPatient    Kind = "patient"
	KindPortalUser Kind = "portal_user"
	KindLink       Kind = "link"
)

// FieldChange is a column of Postern's CSV files, with its present and its new value.
type FieldChange struct{ Field, From, To string }

// mostShown is the maximum number of new rows of a kind that are shown, and of changed ones.
const mostShown = 10

// comparison says how to find rows that a merge would add or change: the staged table
// joined with the directory's table, and the columns as text in both.
type comparison struct {
	fields    []string
	id, from  string
	was, will string
	existing  string // a column that is NULL if the row does not exist yet
}

var compared = map[Kind]comparison{
	KindPatient: {
		[]string{"given_name", "family_name", "birth_date", "status", "deceased"},
		"patient_id, ''", "staged_patients s LEFT JOIN app.patients d USING (patient_id)",
		"d.given_name, d.family_name, coalesce(d.birth_date::text, ''), d.status, d.deceased::text",
		"s.given_name, s.family_name, coalesce(s.birth_date::text, ''), s.status, s.deceased::text", "d.patient_no",
	},
	KindPortalUser: {
		[]string{"name", "email", "active"},
		"portal_user_id, ''", "staged_portal_users s LEFT JOIN app.portal_users d USING (portal_user_id)",
		"d.name, d.email, d.active::text", "s.name, s.email, s.active::text", "d.portal_user_no",
	},
	KindLink: {
		[]string{"relationship", "from", "until"},
		"portal_user_id, patient_id",
		`staged_links s LEFT JOIN app.portal_users u USING (portal_user_id) LEFT JOIN app.patients p USING (patient_id)
		 LEFT JOIN app.links d ON d.portal_user_no = u.portal_user_no AND d.patient_no = p.patient_no AND d.relationship = s.relationship`,
		"d.relationship, coalesce(d.valid_from::text, ''), coalesce(d.valid_until::text, '')",
		"s.relationship, coalesce(s.valid_from::text, ''), coalesce(s.valid_until::text, '')", "d.portal_user_no",
	},
}

// count returns a query with the same counts as the merge of a kind, without changes.
func (of comparison) count() string {
	return fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE %[4]s IS NULL),
		count(*) FILTER (WHERE %[4]s IS NOT NULL AND (%[2]s) IS DISTINCT FROM (%[3]s)) FROM %[1]s`, of.from, of.was, of.will, of.existing)
}

// show shows rows of every kind.
func (im *importer) show(ctx context.Context, tx pgx.Tx) error {
	if im.opts.Show == nil || !im.opts.DryRun {
		return nil
	}
	for _, kind := range []Kind{KindPatient, KindPortalUser, KindLink} {
		if err := im.showKind(ctx, tx, kind); err != nil {
			return fmt.Errorf("reading rows that would change: %w", err)
		}
	}
	return nil
}

func (im *importer) showKind(ctx context.Context, tx pgx.Tx, kind Kind) error {
	of := compared[kind]
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		(SELECT %[1]s, false, ARRAY[%[3]s], ARRAY[%[4]s] FROM %[2]s
		 WHERE %[5]s IS NOT NULL AND (%[3]s) IS DISTINCT FROM (%[4]s) ORDER BY file, line LIMIT $1)
		UNION ALL
		(SELECT %[1]s, true, ARRAY[%[3]s], ARRAY[%[4]s] FROM %[2]s WHERE %[5]s IS NULL ORDER BY file, line LIMIT $1)`,
		of.id, of.from, of.was, of.will, of.existing), mostShown)
	if err != nil {
		return err
	}
	shown := Shown{Kind: kind}
	var was, will []*string
	_, err = pgx.ForEachRow(rows, []any{&shown.ID, &shown.Patient, &shown.New, &was, &will}, func() error {
		shown.Fields = nil
		for i, field := range of.fields {
			from, to := "", *will[i]
			if was[i] != nil && !shown.New {
				from = *was[i]
			}
			if from != to {
				shown.Fields = append(shown.Fields, FieldChange{field, from, to})
			}
		}
		im.opts.Show(shown)
		return nil
	})
	return err
}
