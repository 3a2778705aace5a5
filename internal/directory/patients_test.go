package directory

import (
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestSearchPatients(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	importCSV(t, pool,
		"p.csv", sourcetest.PatientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,false\nPT-2,Huck,Finn,,discharged,true\npt-3,Żó-Ana,O'Brien,,active,false\n",
		"u.csv", sourcetest.PortalUsersHeader+"eve,Eve,,true\nann,Ann,,false\n",
		"l.csv", sourcetest.LinksHeader+"ann,pt-1,representative,2026-01-01,2026-12-31\neve,pt-1,self,,\n")
	for _, c := range []struct{ text, want string }{
		{"saw", "pt-1"}, {"SAWYER tom", "pt-1"}, {"tom finn", ""}, {"zo", "pt-3"}, {"brien", "pt-3"},
		{"pt-2", "PT-2"}, {"PT-2", "PT-2"}, {"pt-", "pt-1 PT-2 pt-3"}, {"t-1", ""}, {"%", ""}, {"1980", ""}, {"eve", ""},
		{" \x00\xff ", "pt-1 PT-2 pt-3"}, {"", "pt-1 PT-2 pt-3"},
	} {
		page, next, err := SearchPatients(t.Context(), pool, c.text, 500, "")
		var got []string
		for _, p := range page {
			got = append(got, p.ID)
		}
		if strings.Join(got, " ") != byNumber(t, c.want, page) || err != nil || next != "" {
			t.Errorf("%q finds %v, %v, %q, want %s", c.text, got, err, next, c.want)
		}
	}

	tom, err := PatientByID(t.Context(), pool, "pt-1")
	tom.No = 0
	want := Patient{ID: "pt-1", Name: "Tom Sawyer", BirthDate: "1980-02-29", Status: "active", PortalUsers: []LinkedPortalUser{
		{ID: "ann", Name: "Ann", Relationship: Representative, From: "2026-01-01", Until: "2026-12-31"},
		{ID: "eve", Name: "Eve", Relationship: Self, Active: true},
	}}
	if diff := gocmp.Diff(want, tom); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	ann, err := PortalUserByID(t.Context(), pool, "ann")
	if err != nil || ann.Name != "Ann" || len(ann.Patients) != 1 || ann.Patients[0].ID != "pt-1" {
		t.Errorf("ann is %+v, %v", ann, err)
	}
	for _, id := range []string{"", "pt-", "pt-9", "a b", "\x00", "\xff", strings.Repeat("x", 65)} {
		if _, err := PatientByID(t.Context(), pool, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("patient %q: %v", id, err)
		}
		if _, err := PortalUserByID(t.Context(), pool, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("portal user %q: %v", id, err)
		}
	}
}

// byNumber checks that the page has only ids of want, in order of number. It returns them
// in that order, or want if some are missing.
func byNumber(t *testing.T, want string, page []Patient) string {
	t.Helper()
	var ids []string
	for i, p := range page {
		if i > 0 && page[i-1].No >= p.No || !strings.Contains(" "+want+" ", " "+p.ID+" ") {
			t.Errorf("%s is out of order, or not among %s", p.ID, want)
		}
		ids = append(ids, p.ID)
	}
	if len(ids) != len(strings.Fields(want)) {
		return want
	}
	return strings.Join(ids, " ")
}

// A search with thousands of matches returns full pages, with each person once.
func TestSearchWithThousandsOfMatches(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	const rows = 12_000
	importRows(t, pool, rows)
	for text, least := range map[string]int{"": rows, "s": rows / 10, "pu-": 2000, "user": 2000} {
		seen, cursor := map[string]bool{}, ""
		for {
			page, next, err := Search(t.Context(), pool, text, 500, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				if seen[u.ID] {
					t.Fatalf("%q finds %s twice", text, u.ID)
				}
				seen[u.ID] = true
			}
			if cursor = next; cursor == "" {
				break
			}
			if len(page) < 500 {
				t.Errorf("%q: a page in the middle has %d", text, len(page))
			}
		}
		if len(seen) < least {
			t.Errorf("%q finds %d of at least %d", text, len(seen), least)
		}
	}
	page, _, err := SearchPatients(t.Context(), pool, "pt-", 500, "")
	if err != nil || len(page) != 500 {
		t.Errorf("%d patients, %v", len(page), err)
	}
}
