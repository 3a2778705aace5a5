package resources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/source"
)

// A folder may hold several versions of a resource: in two files, in a history, or once
// as a resource and once as a deletion.

// verdict says how the version of a resource was chosen.
type verdict int

const (
	oneCounts   verdict = iota // the latest version, or all versions are equal
	lastCounts                 // the latest is unknown, but the difference affects no audience: the last that was read
	undecidable                // the latest is unknown, and the difference affects an audience
)

// choose returns the index of the version that counts. If it is unknown which of two is
// later, it also returns the index of another with different content.
func choose(versions []source.Version) (counts, other int, v verdict) {
	var latest []int // versions for which no other is later
	for i := range versions {
		beaten := false
		for j := range versions {
			beaten = beaten || later(&versions[j], &versions[i])
		}
		if !beaten {
			latest = append(latest, i)
		}
	}
	if len(latest) == 0 { // the dates and the version numbers contradict each other
		return len(versions) - 1, 0, undecidable
	}
	counts = latest[0]
	for _, i := range latest[1:] {
		a, b := &versions[counts], &versions[i]
		switch {
		case a.Deleted != b.Deleted || a.Who != b.Who:
			return i, counts, undecidable
		case a.Rest != b.Rest:
			counts, other, v = i, counts, lastCounts
		}
	}
	return counts, other, v
}

// later reports whether version v is known to be later than another.
func later(v, than *source.Version) bool {
	switch {
	case v.Dated && than.Dated && v.Updated != than.Updated:
		return v.Updated > than.Updated
	case v.Numbered && than.Numbered && v.Version != than.Version:
		return v.Version > than.Version
	case v.History > 0 && than.History > 0 && v.File == than.File && v.Line == than.Line:
		return v.History < than.History
	}
	return false
}

// settleVersions removes all but one version of each resource.
func (m *Merge) settleVersions(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		WITH twice AS (SELECT kind, id FROM staged_versions GROUP BY kind, id HAVING count(*) > 1)
		SELECT file, line, entry, kind, id, deleted, coalesce(updated, 0), updated IS NOT NULL,
		    coalesce(version, 0), version IS NOT NULL, history, who, rest
		FROM staged_versions JOIN twice USING (kind, id) ORDER BY kind, id, file, line, entry`)
	if err != nil {
		return fmt.Errorf("looking for resources that stand twice: %w", err)
	}
	var same []source.Version
	var files, lines, entries []int32 // of the removed versions
	settle := func() {
		if len(same) == 0 {
			return
		}
		counts, other, v := choose(same)
		switch v {
		case lastCounts:
			m.Warnings.Add(source.Fault{Place: same[counts].Place, Field: "id", Reason: "appears with different content at " + m.Faults.At(same[other].Place) +
				" too, and neither meta.lastUpdated nor meta.versionId shows which is later: this one was used"})
		case undecidable:
			m.Faults.Add(source.Fault{Place: same[counts].Place, Field: "id", Reason: "appears with different content at " + m.Faults.At(same[other].Place) +
				" too, and neither meta.lastUpdated nor meta.versionId shows which is later"})
		}
		for i, s := range same {
			if i != counts {
				files, lines, entries = append(files, int32(s.File)), append(lines, int32(s.Line)), append(entries, int32(s.Entry)) // #nosec G115 -- from integer columns
			}
		}
		same = same[:0]
	}
	var v source.Version
	var who, rest []byte
	_, err = pgx.ForEachRow(rows, []any{&v.File, &v.Line, &v.Entry, &v.Kind, &v.ID, &v.Deleted, &v.Updated, &v.Dated,
		&v.Version, &v.Numbered, &v.History, &who, &rest}, func() error {
		v.Who, v.Rest = [16]byte(who), [16]byte(rest)
		if len(same) > 0 && (same[0].Kind != v.Kind || same[0].ID != v.ID) {
			settle()
		}
		same = append(same, v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for resources that stand twice: %w", err)
	}
	settle()
	if len(files) == 0 {
		return nil
	}
	for _, table := range []string{"staged_versions", "staged_patients", "staged_portal_users", "staged_links",
		"staged_related", "staged_episodes", "staged_replacements"} {
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			DELETE FROM %s s USING unnest($1::integer[], $2::integer[], $3::integer[]) AS gone (file, line, entry)
			WHERE (s.file, s.line, s.entry) = (gone.file, gone.line, gone.entry)`, table), files, lines, entries)
		if err != nil {
			return fmt.Errorf("removing versions of resources: %w", err)
		}
	}
	return nil
}
