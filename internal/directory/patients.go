package directory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/field"
	"postern/internal/text/folding"
)

// Patient is a patient as staff see them.
type Patient struct {
	No        int32
	ID        string
	Name      string
	BirthDate string // YYYY-MM-DD, "" if unknown
	Status    string // active or discharged
	Deceased  bool
	// PortalUsers are the portal users linked to the patient, whether or not the link is
	// in force, in order of portal user number.
	PortalUsers []LinkedPortalUser
}

// LinkedPortalUser is a portal user with a link to a patient.
type LinkedPortalUser struct {
	ID           string
	Name         string
	Relationship string // self or representative
	Active       bool
	From, Until  string // YYYY-MM-DD, "" if open
}

// The relationships of a link.
const (
	Self           = field.Self
	Representative = field.Representative
)

// ErrNotFound is the error for an id that is not in the directory.
var ErrNotFound = errors.New("this id is not in the directory")

// SearchPatients finds patients by the beginnings of the words of their name, or by the
// beginning of their id. Matching and pages are the same as in [Search].
func SearchPatients(ctx context.Context, q Querier, text string, limit int, cursor string) (page []Patient, next string, err error) {
	after, err := ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MostPerPage)
	args := []any{after, limit + 1}
	found := `SELECT patient_no FROM app.patients WHERE patient_no > $1 ORDER BY patient_no LIMIT $2`
	if text = searchable(text); text != "" {
		prefix := text
		if strings.Contains(text, " ") {
			prefix = "" // ids have no spaces
		}
		found = patientsBySearch
		args = append(args, folding.Query(text), prefix, strings.ToLower(prefix), strings.ToUpper(prefix))
	}
	page, err = readPatientsFound(ctx, q, found, args...)
	if err != nil {
		return nil, "", fmt.Errorf("searching patients: %w", err)
	}
	if len(page) <= limit {
		return page, "", nil
	}
	page = page[:limit]
	return page, strconv.Itoa(int(page[limit-1].No)), nil
}

// See foundBySearch.
const patientsBySearch = `
	(SELECT patient_no
	 FROM (SELECT patient_no FROM app.patients
	       WHERE patient_no > $1 AND words @@ $3::text::tsquery LIMIT 5000) n
	 ORDER BY patient_no LIMIT $2)
	UNION
	(SELECT patient_no
	 FROM ((SELECT patient_no FROM app.patients
	        WHERE $4::text <> '' AND patient_id >= $4 AND patient_id < ($4 || U&'\+10FFFF') ORDER BY patient_id LIMIT 2000)
	       UNION
	       (SELECT patient_no FROM app.patients
	        WHERE $4 <> '' AND patient_id >= $5::text AND patient_id < ($5 || U&'\+10FFFF') ORDER BY patient_id LIMIT 2000)
	       UNION
	       (SELECT patient_no FROM app.patients
	        WHERE $4 <> '' AND patient_id >= $6::text AND patient_id < ($6 || U&'\+10FFFF') ORDER BY patient_id LIMIT 2000)) i
	 WHERE patient_no > $1
	 ORDER BY patient_no LIMIT $2)`

// PatientByID returns one patient, or [ErrNotFound].
func PatientByID(ctx context.Context, q Querier, id string) (Patient, error) {
	const found = `SELECT patient_no FROM app.patients WHERE patient_no > $1 AND patient_id = $3`
	if field.CheckID(id) != "" {
		return Patient{}, ErrNotFound
	}
	page, err := readPatientsFound(ctx, q, found, 0, 1, id)
	if err != nil {
		return Patient{}, fmt.Errorf("reading a patient: %w", err)
	}
	if len(page) == 0 {
		return Patient{}, ErrNotFound
	}
	return page[0], nil
}

// PortalUserByID returns one portal user, or [ErrNotFound].
func PortalUserByID(ctx context.Context, q Querier, id string) (PortalUser, error) {
	const found = `SELECT portal_user_no FROM app.portal_users WHERE portal_user_no > $1 AND portal_user_id = $3`
	if field.CheckID(id) != "" {
		return PortalUser{}, ErrNotFound
	}
	page, _, err := readPage(ctx, q, found, 1, "", id)
	if err != nil {
		return PortalUser{}, err
	}
	if len(page) == 0 {
		return PortalUser{}, ErrNotFound
	}
	return page[0], nil
}

// readPatientsFound reads the patients whose numbers a query finds. The query's arguments
// are the number after which to begin ($1), the maximum number of rows ($2), and its own.
func readPatientsFound(ctx context.Context, q Querier, found string, args ...any) ([]Patient, error) {
	rows, err := q.Query(ctx, `
		WITH found AS (SELECT patient_no FROM (`+found+`) f ORDER BY patient_no LIMIT $2)
		SELECT p.patient_no, p.patient_id, p.given_name, p.family_name, coalesce(p.birth_date::text, ''), p.status, p.deceased,
		       coalesce(u.portal_user_id, ''), coalesce(u.name, ''), coalesce(u.active, false),
		       coalesce(l.relationship, ''), coalesce(l.valid_from::text, ''), coalesce(l.valid_until::text, '')
		FROM found
		JOIN app.patients p USING (patient_no)
		LEFT JOIN app.links l USING (patient_no)
		LEFT JOIN app.portal_users u USING (portal_user_no)
		ORDER BY p.patient_no, l.portal_user_no, l.relationship`, args...)
	if err != nil {
		return nil, err
	}
	var page []Patient
	var p Patient
	var u LinkedPortalUser
	var given, family string
	_, err = pgx.ForEachRow(rows, []any{
		&p.No, &p.ID, &given, &family, &p.BirthDate, &p.Status, &p.Deceased,
		&u.ID, &u.Name, &u.Active, &u.Relationship, &u.From, &u.Until,
	}, func() error {
		if len(page) == 0 || page[len(page)-1].No != p.No {
			p.Name = strings.TrimSpace(given + " " + family)
			page = append(page, p)
		}
		if u.ID != "" {
			page[len(page)-1].PortalUsers = append(page[len(page)-1].PortalUsers, u)
		}
		return nil
	})
	return page, err
}
