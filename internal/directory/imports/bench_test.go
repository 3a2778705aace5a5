package imports

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkImport compares an import of three CSV files of N lines each with a bare
// COPY of the same rows, including numbers, into the same empty tables with the same
// indexes. The target: copy_s/import_s at least 0.25.
//
//	go test ./internal/directory/imports -run '^$' -bench Import -benchtime 1x -directory.rows 1000000
func BenchmarkImport(b *testing.B) {
	for range b.N {
		files := benchFiles(*sourcetest.Rows)
		copied := bareCopy(b, *sourcetest.Rows)

		pool := storetest.Pool(b, store.RoleAPI)
		start := time.Now()
		summary, err := CSV(b.Context(), pool, files, Options{})
		imported := time.Since(start)
		if err != nil || summary.Links.New != *sourcetest.Rows {
			b.Fatal(summary, err)
		}
		start = time.Now()
		if summary, err = CSV(b.Context(), pool, benchFiles(*sourcetest.Rows), Options{}); err != nil || summary.Changed() {
			b.Fatal(summary, err)
		}
		b.ReportMetric(copied.Seconds(), "copy_s")
		b.ReportMetric(imported.Seconds(), "import_s")
		b.ReportMetric(copied.Seconds()/imported.Seconds(), "copy/import")
		b.ReportMetric(time.Since(start).Seconds(), "again_s")
	}
}

// BenchmarkImportFHIR imports N each of Patient, RelatedPerson and EpisodeOfCare, then the
// same again, and then only one of the Patients.
func BenchmarkImportFHIR(b *testing.B) {
	var patients, related, episodes bytes.Buffer
	one := ""
	for n := range *sourcetest.Rows {
		id, given, family, relatedID, email := sourcetest.Row(n)
		one = fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"lastUpdated":"2026-01-01T00:00:00Z","versionId":"1"},"identifier":[{"value":"%d"}],"name":[{"use":"official","family":%q,"given":[%q]}],"telecom":[{"system":"phone","value":"5"},{"system":"email","value":%q}],"birthDate":"1980-02-29"}`+"\n",
			id, n, family, given, email)
		patients.WriteString(one)
		fmt.Fprintf(&related, `{"resourceType":"RelatedPerson","id":%q,"patient":{"reference":"Patient/%s"},"name":[{"family":%q,"given":[%q]}],"telecom":[{"system":"email","value":%q}],"period":{"start":"2020-01-01"}}`+"\n",
			relatedID, id, family, given, email)
		fmt.Fprintf(&episodes, `{"resourceType":"EpisodeOfCare","id":"ep-%d","status":%q,"patient":{"reference":"Patient/%s"}}`+"\n",
			n, []string{"active", "finished"}[n%2], id)
	}
	all := sourcetest.Folder("Patient.ndjson", patients.String(), "RelatedPerson.ndjson", related.String(), "EpisodeOfCare.ndjson", episodes.String())
	for range b.N {
		pool := storetest.Pool(b, store.RoleAPI)
		for _, imported := range []struct {
			metric string
			dir    fs.FS
		}{{"import_s", all}, {"again_s", all}, {"one_s", sourcetest.Folder("Patient.ndjson", one)}} {
			start := time.Now()
			if _, err := FHIR(b.Context(), pool, imported.dir, Options{Today: today}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(start).Seconds(), imported.metric)
		}
	}
}

// bareCopy measures COPY alone, with lines that were made before.
func bareCopy(b *testing.B, rows int) time.Duration {
	var patients, users, links bytes.Buffer
	for n := range rows {
		patientID, given, family, userID, email := sourcetest.Row(n)
		fmt.Fprintf(&patients, "%s\t%s\t%s\t1980-02-29\tactive\tf\n", patientID, given, family)
		fmt.Fprintf(&users, "%s\t%s %s\t%s\tt\n", userID, given, family, email)
		fmt.Fprintf(&links, "%d\t%d\tself\t\\N\t\\N\n", n+1, n+1)
	}
	conn, err := pgx.Connect(b.Context(), storetest.New(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	start := time.Now()
	for _, c := range []struct {
		into string
		rows io.Reader
	}{
		{"app.patients (patient_id, given_name, family_name, birth_date, status, deceased)", &patients},
		{"app.portal_users (portal_user_id, name, email, active)", &users},
		{"app.links (portal_user_no, patient_no, relationship, valid_from, valid_until)", &links},
	} {
		if _, err := conn.PgConn().CopyFrom(b.Context(), c.rows, "COPY "+c.into+" FROM STDIN"); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// benchFiles returns the CSV files with some rows.
func benchFiles(rows int) []File {
	patients, users, links := sourcetest.CSV(rows)
	return []File{
		{"patients.csv", int64(patients.Len()), patients}, {"portal_users.csv", int64(users.Len()), users}, {"links.csv", int64(links.Len()), links},
	}
}
