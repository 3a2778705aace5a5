package imports

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A dry run shows rows that would be added or changed, with the present and the new values.
func TestADryRunShowsChanges(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	if _, err := CSV(t.Context(), pool, csvFiles(
		"p.csv", sourcetest.PatientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,false\npt-2,Huck,Finn,,active,false\n",
		"u.csv", sourcetest.PortalUsersHeader+"polly,Polly,polly@example.org,true\n",
		"l.csv", sourcetest.LinksHeader+"polly,pt-1,representative,,\n"), Options{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	show := func(s Shown) {
		got = append(got, fmt.Sprint(s.Kind, " ", s.ID, " ", s.Patient, " ", s.New, " ", s.Fields))
	}
	files := func() []File {
		return csvFiles(
			"p.csv", sourcetest.PatientsHeader+"pt-1,Tom,Sawyer,,discharged,false\npt-2,Huck,Finn,,active,false\n",
			"u.csv", sourcetest.PortalUsersHeader+"polly,Polly,,true\njim,Jim,,false\n",
			"l.csv", sourcetest.LinksHeader+"polly,pt-1,representative,,2026-01-01\njim,pt-2,self,2026-02-01,\n")
	}
	if _, err := CSV(t.Context(), pool, files(), Options{DryRun: true, Show: show}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"patient pt-1  false [{birth_date 1980-02-29 } {status active discharged}]",
		"portal_user polly  false [{email polly@example.org }]",
		"portal_user jim  true [{name  Jim} {active  false}]",
		"link polly pt-1 false [{until  2026-01-01}]",
		"link jim pt-2 true [{relationship  self} {from  2026-02-01}]",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	got = nil
	if _, err := CSV(t.Context(), pool, files(), Options{Show: show}); err != nil || got != nil {
		t.Errorf("a real import shows %q, %v", got, err)
	}
	if _, err := CSV(t.Context(), pool, files(), Options{DryRun: true, Show: show}); err != nil || got != nil {
		t.Errorf("an import without changes shows %q, %v", got, err)
	}
}

// An import lists as many wrong lines as requested, in order, and counts all of them.
func TestManyWrongLines(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	content := sourcetest.PortalUsersHeader + strings.Repeat("a b,Ana,,true\n", 3000)
	for asked, want := range map[int]int{0: 100, 2500: 2500, 5000: 3000} {
		_, err := CSV(t.Context(), pool, csvFiles("u.csv", content), Options{DryRun: true, MostLines: asked})
		var refused *source.Refused
		if !errors.As(err, &refused) || len(refused.Lines) != want || refused.Total != 3000 || refused.Lines[want-1].Line != want+1 {
			t.Errorf("asked for %d: %d lines of %v", asked, len(refused.Lines), err)
		}
	}
}
