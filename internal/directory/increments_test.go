package directory

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// An export in any parts, one after the other in order, comes to the same as the whole:
// the same audiences, the same statuses, the same accounts.
func TestAnExportInParts(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // each takes dozens of imports
		_ = checks.Value.Set("30")
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	pool, forget := forgetful(t)
	outcome := func(t tb, parts ...[]string) string {
		forget()
		for i, part := range parts {
			dir := fstest.MapFS{"export.ndjson": {Data: []byte(strings.Join(part, "\n"))}}
			if _, err := ImportFHIR(t.Context(), pool, dir, Options{Today: today}); err != nil {
				t.Fatalf("part %d of %d: %v\n%s", i, len(parts), err, strings.Join(part, "\n"))
			}
		}
		rows, err := pool.Query(t.Context(), `
			SELECT 'patient ' || patient_id || ' ' || status FROM app.patients
			UNION ALL SELECT 'user ' || portal_user_id || ' ' || active FROM app.portal_users
			UNION ALL SELECT 'link ' || portal_user_id || ' ' || patient_id FROM app.links
			    JOIN app.portal_users USING (portal_user_no) JOIN app.patients USING (patient_no)
			    WHERE valid_until IS NULL OR valid_until >= '`+dayAt(0)+`' ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		said := []string{audiences(t, pool)}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			said = append(said, line)
		}
		return strings.Join(said, "\n")
	}
	rapid.Check(t, func(t *rapid.T) {
		patient := rapid.SampledFrom([]string{"p1", "p2", "p3", "unknown"})
		// Later versions of a resource stand after earlier ones, and say so.
		resource := rapid.Custom(func(t *rapid.T) [2]string {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0, 1, 2:
				id := rapid.SampledFrom([]string{"p1", "p1", "p2", "p2", "p3"}).Draw(t, "patient")
				members := []string{"VERSION"}
				if rapid.Bool().Draw(t, "inactive") {
					members = append(members, `"active":false`)
				}
				// Only towards higher numbers: circles are refused.
				if n := int(id[1]-'0') + rapid.IntRange(1, 6).Draw(t, "successor"); n <= 4 {
					members = append(members, replacedBy(fmt.Sprint("p", n)))
				}
				return [2]string{"P" + id, res("P", id, members...)}
			case 3, 4:
				id := rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "person")
				return [2]string{"R" + id, res("R", id, "VERSION", of(patient.Draw(t, "of")), fmt.Sprintf(`"active":%v`, rapid.Bool().Draw(t, "active")))}
			case 5, 6, 7:
				id := rapid.SampledFrom([]string{"e1", "e2"}).Draw(t, "episode")
				return [2]string{"E" + id, res("E", id, "VERSION", of(patient.Draw(t, "of")), status(rapid.SampledFrom([]string{"active", "finished", "entered-in-error"}).Draw(t, "status")))}
			default:
				url := rapid.SampledFrom([]string{"Patient/p1", "Patient/p2", "RelatedPerson/r1", "EpisodeOfCare/e1", "EpisodeOfCare/e2"}).Draw(t, "deleted")
				return [2]string{url[:1] + url[strings.Index(url, "/")+1:], strings.Replace(deleted(url), `"type"`, `VERSION,"type"`, 1)}
			}
		})
		drawn := rapid.SliceOfN(resource, 4, 12).Draw(t, "resources")
		var all, latest []string
		var parts [][]string
		last := map[string]int{}
		for i, r := range drawn {
			last[r[0]] = i
			all = append(all, strings.Replace(r[1], "VERSION", updated(i+1), 1))
			if i == 0 || rapid.Bool().Draw(t, "cut") {
				parts = append(parts, nil)
			}
			parts[len(parts)-1] = append(parts[len(parts)-1], all[i])
		}
		for i, r := range drawn {
			if last[r[0]] == i {
				latest = append(latest, all[i])
			}
		}
		same := func(name, got, want string) {
			// Whoever was deleted, or was never in the whole, has left a row that brings nobody anywhere.
			if got, want := lasting(got, want), lasting(want, got); got != want {
				t.Fatalf("%s comes to\n%s\nand the whole to\n%s", name, got, want)
			}
		}
		whole := outcome(t, latest)
		same("in parts", outcome(t, parts...), whole)
		same("the whole after all versions", outcome(t, all, latest), whole)
		slices.Reverse(latest)
		same("the other way round", outcome(t, latest[:len(latest)/2], latest[len(latest)/2:]), whole)
	})
}

// lasting leaves out the rows of patients and accounts that the other does not have.
// The audiences, in the first line, stay whole.
func lasting(outcome, other string) string {
	has := map[string]bool{}
	key := func(line string) string { return strings.Join(strings.Fields(line)[:2], " ") }
	for line := range strings.Lines(other) {
		has[key(line)] = true
	}
	var kept []string
	for i, line := range strings.Split(outcome, "\n") {
		if i == 0 || has[key(line)] || strings.HasPrefix(line, "link") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
