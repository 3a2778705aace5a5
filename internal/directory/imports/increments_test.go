package imports

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
)

// Importing an export in any parts, in order, has the same result as importing all of it
// at once: the same audiences, statuses and accounts.
func TestAnExportInPartsHasTheSameResult(t *testing.T) {
	t.Parallel()
	pool, forget := resettable(t)
	outcome := func(t tb, parts ...[]string) string {
		forget()
		for i, part := range parts {
			dir := fstest.MapFS{"export.ndjson": {Data: []byte(strings.Join(part, "\n"))}}
			if _, err := FHIR(t.Context(), pool, dir, Options{Today: today}); err != nil {
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
		lines := []string{audiences(t, pool)}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "\n")
	}
	for seed := range uint64(6) {
		// Many small clinics, each with its own W, are imported at once: an import costs the
		// same for one clinic as for all.
		const clinics, most = 30, 4
		draw := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a test, which must be the same every time
		parts := make([][]string, most)
		var all, latest []string
		for clinic := range clinics {
			drawn := make([][2]string, 3+draw.IntN(9))
			last := map[string]int{}
			for i := range drawn {
				drawn[i] = drawResource(draw)
				last[drawn[i][0]] = i
			}
			part := 0
			for i, r := range drawn {
				// Later versions of a resource have a later version number.
				line := strings.NewReplacer("VERSION", updated(i+1), "W-", fmt.Sprintf("w%d-", clinic)).Replace(r[1])
				if part+1 < most && draw.IntN(3) == 0 {
					part++
				}
				parts[part] = append(parts[part], line)
				all = append(all, line)
				if last[r[0]] == i {
					latest = append(latest, line)
				}
			}
		}
		whole := outcome(t, latest)
		same := func(name, got string) {
			// A deleted patient, or one not in the complete export, has left rows that affect no audience.
			if got, want := lasting(got, whole), lasting(whole, got); got != want {
				t.Errorf("seed %d, %s (-whole +got):\n%s", seed, name, gocmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
			}
		}
		same("in parts", outcome(t, parts...))
		same("the whole after all versions", outcome(t, all, latest))
		slices.Reverse(latest)
		same("the other way round", outcome(t, latest[:len(latest)/2], latest[len(latest)/2:]))
	}
}

// drawResource returns the key of a random resource and its JSON, for a clinic of three patients.
func drawResource(draw *rand.Rand) [2]string {
	one := func(of ...string) string { return of[draw.IntN(len(of))] }
	patient := func() string { return "W-" + one("p1", "p1", "p2", "p2", "p3", "unknown") }
	switch draw.IntN(10) {
	case 0, 1, 2:
		n := 1 + draw.IntN(3)
		members := []string{"VERSION"}
		if draw.IntN(4) == 0 {
			members = append(members, `"active":false`)
		}
		// Only towards higher numbers: circles are refused.
		if successor := n + 1 + draw.IntN(6); successor <= 4 {
			members = append(members, replacedBy(fmt.Sprint("W-p", successor)))
		}
		return [2]string{fmt.Sprint("Pp", n), res("P", fmt.Sprint("W-p", n), members...)}
	case 3, 4:
		id := one("r1", "r2")
		return [2]string{"R" + id, res("R", "W-"+id, "VERSION", of(patient()), one(`"active":true`, `"active":true`, `"active":false`))}
	case 5, 6, 7, 8:
		id := one("e1", "e2")
		return [2]string{"E" + id, res("E", "W-"+id, "VERSION", of(patient()), status(one("active", "finished", "finished", "entered-in-error")))}
	default:
		url := one("Patient/W-p1", "Patient/W-p2", "RelatedPerson/W-r1", "EpisodeOfCare/W-e1", "EpisodeOfCare/W-e2")
		return [2]string{url[:1] + url[len(url)-2:], strings.Replace(deleted(url), `"type"`, `VERSION,"type"`, 1)}
	}
}

// lasting removes the rows of patients and accounts that the other result does not have.
// The audiences, in the first line, stay complete.
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
