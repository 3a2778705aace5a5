package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"postern/internal/text/folding"
)

// The words for finding a name are stored beside it. Package folding makes them. They are
// sent to the database as one text, separated by spaces.

// wordsOf returns the words of a name.
func wordsOf(name string) string { return strings.Join(folding.Words(name), " ") }

// foldedAtOnce is the number of names that one transaction folds.
const foldedAtOnce = 5000

// FoldNames makes the words of all names that have none of the current
// [folding.Version], and returns their number. Such rows are older than the first
// version, or were written by another version of Postern. Until it has returned, a search
// does not find all names. It works in small transactions: after an interruption the next
// call continues where it stopped, and any number of processes may run it at once. It
// skips rows that another transaction has locked, for example an import, until the next
// call: waiting for them while holding other locks could be a deadlock.
func FoldNames(ctx context.Context, db Beginner) (folded int, err error) {
	for _, fold := range []func(context.Context, pgx.Tx) (int, error){foldPatients, foldPortalUsers} {
		for {
			n := 0
			err := inTx(ctx, db, func(tx pgx.Tx) (err error) {
				n, err = fold(ctx, tx)
				return err
			})
			if err != nil {
				return folded, fmt.Errorf("folding names: %w", err)
			}
			if folded += n; n == 0 {
				break
			}
		}
	}
	return folded, nil
}

func inTx(ctx context.Context, db Beginner, do func(pgx.Tx) error) error {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func foldPatients(ctx context.Context, tx pgx.Tx) (int, error) {
	return foldSome(ctx, tx, `
		SELECT patient_no, given_name || ' ' || family_name FROM app.patients WHERE words_version < %d
		ORDER BY patient_no LIMIT $1 FOR UPDATE SKIP LOCKED`,
		`UPDATE app.patients SET words = array_to_tsvector(string_to_array(f.words, ' ')), words_version = $3
		FROM unnest($1::integer[], $2::text[]) AS f (no, words) WHERE patient_no = f.no`)
}

func foldPortalUsers(ctx context.Context, tx pgx.Tx) (int, error) {
	return foldSome(ctx, tx, `
		SELECT portal_user_no, name FROM app.portal_users WHERE words_version < %d
		ORDER BY portal_user_no LIMIT $1 FOR UPDATE SKIP LOCKED`,
		`UPDATE app.portal_users SET words = array_to_tsvector(string_to_array(f.words, ' ')), words_version = $3
		FROM unnest($1::integer[], $2::text[]) AS f (no, words) WHERE portal_user_no = f.no`)
}

// foldSome folds some of the names that the query unfolded reads. The version is a literal
// in the query (%d), so that the planner knows that it can use the partial index.
func foldSome(ctx context.Context, tx pgx.Tx, unfolded, update string) (int, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(unfolded, folding.Version), foldedAtOnce)
	if err != nil {
		return 0, err
	}
	var nos []int32
	var words []string
	var no int32
	var name string
	_, err = pgx.ForEachRow(rows, []any{&no, &name}, func() error {
		nos, words = append(nos, no), append(words, wordsOf(name))
		return nil
	})
	if err != nil || len(nos) == 0 {
		return 0, err
	}
	_, err = tx.Exec(ctx, update, nos, words, folding.Version)
	return len(nos), err
}
