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

func TestSearch(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	importCSV(t, pool,
		"u.csv", sourcetest.PortalUsersHeader+
			"ana,Ana-Maria O'Brien,Home@Example.test,true\n"+
			"BOB-7,Bob Żółć,b%b@example.test,false\n"+
			"eve,Eve d’Arc,,true\n"+
			"wei,李 小龍,wei@example.test,true\n"+
			"priya,प्रिया शर्मा,priya@example.test,true\n"+
			"oleg,Олег Йовович,oleg@example.test,true\n"+
			"odd,A\\b 'c' & d:*,,true\n",
		"p.csv", sourcetest.PatientsHeader+"pt-1,Tom,Sawyer,,active,false\npt-2,Huck,Finn,,discharged,true\n",
		"l.csv", sourcetest.LinksHeader+"eve,pt-1,representative,2026-01-01,\neve,pt-2,self,,\nana,pt-1,representative,,2020-01-01\n")
	for _, c := range []struct{ text, want string }{
		{"ana", "ana"}, {"MARIA", "ana"}, {"ana-ma", "ana"}, {"maria ana", "ana"}, {"o'br", "ana"}, {"brien", "ana"},
		{"zołc", "BOB-7"}, {"Żó", "BOB-7"}, {"bob-", "BOB-7"}, {"bob-7", "BOB-7"}, {"b%", "BOB-7"}, {"arc", "eve"}, {"D’A", "eve"},
		{"home@example", "ana"}, {"%", ""}, {"_", ""}, {"xample", ""}, {"an xyz", ""},
		{"小", "wei"}, {"李", "wei"}, {"प्रि", "priya"}, {"ОЛ", "oleg"}, {"иов", "oleg"},
		{"saw", "ana eve"}, {"finn huck", "eve"}, {"tom finn", ""}, {"pt-1", ""},
		{`a\b`, "odd"}, {"'c'", "odd"}, {"d:*", "odd"}, {"&", "odd"},
		{" \x00\xff ", "BOB-7 ana eve odd oleg priya wei"}, {"", "BOB-7 ana eve odd oleg priya wei"},
		{strings.Repeat("ana ", 1000), "ana"},
	} {
		page, next, err := Search(t.Context(), pool, c.text, 500, "")
		var got []string
		for _, u := range page {
			got = append(got, u.ID)
		}
		if diff := gocmp.Diff(c.want, strings.Join(got, " ")); diff != "" || err != nil || next != "" {
			t.Errorf("%q: %v, %q (-want +got):\n%s", c.text, err, next, diff)
		}
	}

	page, _, err := Search(t.Context(), pool, "huck", 10, "")
	want := []PortalUser{{No: 3, ID: "eve", Name: "Eve d’Arc", Active: true, Patients: []LinkedPatient{
		{ID: "pt-1", Name: "Tom Sawyer", Relationship: Representative, Status: "active", From: "2026-01-01"},
		{ID: "pt-2", Name: "Huck Finn", Relationship: Self, Status: "discharged", Deceased: true},
	}}}
	if diff := gocmp.Diff(want, page); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	names, err := PortalUsers(t.Context(), pool, []int32{3, 99})
	want[0].Patients = nil
	if diff := gocmp.Diff(map[int32]PortalUser{3: want[0]}, names); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestPagesContinueWhereTheLastOneEnded(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	var users strings.Builder
	users.WriteString(sourcetest.PortalUsersHeader)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		users.WriteString(id + ",Ana,ana@example.test,true\n")
	}
	importCSV(t, pool, "u.csv", users.String())
	for _, text := range []string{"", "ana"} {
		var got []string
		cursor := ""
		for {
			page, next, err := Search(t.Context(), pool, text, 2, cursor)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, u := range page {
				ids = append(ids, u.ID)
			}
			got = append(got, strings.Join(ids, ""))
			if cursor = next; cursor == "" {
				break
			}
		}
		if diff := gocmp.Diff([]string{"ab", "cd", "e"}, got); diff != "" {
			t.Errorf("search %q (-want +got):\n%s", text, diff)
		}
	}
	for _, cursor := range []string{"x", "0", "-1", "99999999999"} {
		if _, _, err := List(t.Context(), pool, 2, cursor); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}
