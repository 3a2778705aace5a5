package directory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"postern/internal/text/folding"
	"postern/internal/text/invisible"
)

// Querier is a pool, a connection or a transaction of pgx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Beginner begins transactions: a pool or a connection of pgx.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// PortalUser is a portal user's account as staff see it.
type PortalUser struct {
	No     int32
	ID     string
	Name   string
	Email  string // "" for none
	Active bool
	// Patients are the patients that the portal user is linked to, whether or not the
	// link is in force, in order of patient number.
	Patients []LinkedPatient
}

// LinkedPatient is a patient with a link to a portal user.
type LinkedPatient struct {
	ID           string
	Name         string
	Relationship string // self or representative
	Status       string // active or discharged
	Deceased     bool
	From, Until  string // YYYY-MM-DD, "" if open
	BirthDate    string // YYYY-MM-DD, "" if not known
}

// ErrCursor is the error for a cursor that no page returned.
var ErrCursor = errors.New("the cursor is not one of this list: leave it out to start again")

// MostPerPage is the largest page of [Search] and [List].
const MostPerPage = 500

// Search finds portal users by their name or the name of a linked patient (all words, in
// any order, matched as package folding describes), by the beginning of their address, or
// by the beginning of their id, as typed or in lower or upper case. Without a word it
// returns all portal users.
//
// A page holds at most limit portal users, in order of number. next is the cursor of the
// following page, "" at the end.
func Search(ctx context.Context, q Querier, text string, limit int, cursor string) (page []PortalUser, next string, err error) {
	text = searchable(text)
	if text == "" {
		return List(ctx, q, limit, cursor)
	}
	prefix := text
	if strings.Contains(text, " ") {
		prefix = "" // the beginning of neither an address nor an id
	}
	small, large := strings.ToLower(prefix), strings.ToUpper(prefix)
	return readPage(ctx, q, foundBySearch, limit, cursor, folding.Query(text), prefix, small, large)
}

// longestSearch is the number of characters of a search that are used.
const longestSearch = 100

func searchable(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", " "), "")
	text = strings.Join(strings.FieldsFunc(invisible.RemoveWidthless(text), invisible.IsBlank), " ")
	if runes := []rune(text); len(runes) > longestSearch {
		text = string(runes[:longestSearch])
	}
	return text
}

// Each branch reads matches from an index. A short text may match thousands of rows, so
// the number of matches is limited: sorting all names that begin with a letter took a
// third of a second with a million portal users, and no one pages that far. The inner
// queries are not ordered by number. Otherwise the planner may read all rows in that
// order, which is slow if it misestimates the number of matches.
const foundBySearch = `
	(SELECT portal_user_no
	 FROM (SELECT portal_user_no FROM app.portal_users
	       WHERE portal_user_no > $1 AND words @@ $3::text::tsquery LIMIT 5000) n
	 ORDER BY portal_user_no LIMIT $2)
	UNION
	(SELECT l.portal_user_no
	 FROM (SELECT patient_no FROM app.patients
	       WHERE words @@ $3::text::tsquery LIMIT 2000) p
	 JOIN app.links l USING (patient_no)
	 WHERE l.portal_user_no > $1
	 ORDER BY l.portal_user_no + 0 LIMIT $2)
	UNION
	(SELECT portal_user_no
	 FROM (SELECT portal_user_no FROM app.portal_users
	       WHERE $4::text <> '' AND email <> '' AND lower(email) ~>=~ $5::text AND lower(email) ~<~ ($5 || U&'\+10FFFF')
	       ORDER BY lower(email) USING ~<~ LIMIT 2000) e
	 WHERE portal_user_no > $1
	 ORDER BY portal_user_no LIMIT $2)
	UNION
	(SELECT portal_user_no
	 FROM ((SELECT portal_user_no FROM app.portal_users
	        WHERE $4 <> '' AND portal_user_id >= $4 AND portal_user_id < ($4 || U&'\+10FFFF') ORDER BY portal_user_id LIMIT 2000)
	       UNION
	       (SELECT portal_user_no FROM app.portal_users
	        WHERE $4 <> '' AND portal_user_id >= $5 AND portal_user_id < ($5 || U&'\+10FFFF') ORDER BY portal_user_id LIMIT 2000)
	       UNION
	       (SELECT portal_user_no FROM app.portal_users
	        WHERE $4 <> '' AND portal_user_id >= $6::text AND portal_user_id < ($6 || U&'\+10FFFF') ORDER BY portal_user_id LIMIT 2000)) i
	 WHERE portal_user_no > $1
	 ORDER BY portal_user_no LIMIT $2)`

// List returns all portal users, in the same pages as [Search].
func List(ctx context.Context, q Querier, limit int, cursor string) (page []PortalUser, next string, err error) {
	const all = `SELECT portal_user_no FROM app.portal_users WHERE portal_user_no > $1 ORDER BY portal_user_no LIMIT $2`
	return readPage(ctx, q, all, limit, cursor)
}

// readPage reads the portal users whose numbers a query finds. The query's arguments are
// the number after which to begin, the maximum number of rows, and args.
func readPage(ctx context.Context, q Querier, found string, limit int, cursor string, args ...any) ([]PortalUser, string, error) {
	after, err := ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MostPerPage)
	rows, err := q.Query(ctx, `
		WITH found AS (SELECT portal_user_no FROM (`+found+`) f ORDER BY portal_user_no LIMIT $2)
		SELECT u.portal_user_no, u.portal_user_id, u.name, u.email, u.active,
		       coalesce(p.patient_id, ''), coalesce(p.given_name, ''), coalesce(p.family_name, ''),
		       coalesce(l.relationship, ''), coalesce(p.status, ''), coalesce(p.deceased, false),
		       coalesce(l.valid_from::text, ''), coalesce(l.valid_until::text, ''), coalesce(p.birth_date::text, '')
		FROM found
		JOIN app.portal_users u USING (portal_user_no)
		LEFT JOIN app.links l USING (portal_user_no)
		LEFT JOIN app.patients p USING (patient_no)
		ORDER BY u.portal_user_no, l.patient_no, l.relationship`,
		append([]any{after, limit + 1}, args...)...)
	if err != nil {
		return nil, "", fmt.Errorf("searching portal users: %w", err)
	}
	page, err := collectPage(rows, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("searching portal users: %w", err)
	}
	if len(page) <= limit {
		return page, "", nil
	}
	page = page[:limit]
	return page, strconv.Itoa(int(page[limit-1].No)), nil
}

// collectPage makes portal users from rows that each hold a portal user and a link.
func collectPage(rows pgx.Rows, most int) ([]PortalUser, error) {
	page := make([]PortalUser, 0, most)
	var u PortalUser
	var p LinkedPatient
	var given, family string
	_, err := pgx.ForEachRow(rows, []any{
		&u.No, &u.ID, &u.Name, &u.Email, &u.Active,
		&p.ID, &given, &family, &p.Relationship, &p.Status, &p.Deceased, &p.From, &p.Until, &p.BirthDate,
	}, func() error {
		if len(page) == 0 || page[len(page)-1].No != u.No {
			page = append(page, u)
		}
		if p.ID != "" {
			p.Name = strings.TrimSpace(given + " " + family)
			page[len(page)-1].Patients = append(page[len(page)-1].Patients, p)
		}
		return nil
	})
	return page, err
}

// ParseCursor returns the number of the last portal user before a page, 0 for the first page.
// It fails with [ErrCursor].
func ParseCursor(cursor string) (after int32, err error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 32)
	if err != nil || n < 1 {
		return 0, ErrCursor
	}
	return int32(n), nil
}
