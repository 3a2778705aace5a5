package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Who picks a person by hand is told of others of that name, of others with that address, and of a
// representative who reads the e-mails of a child.
func TestDoubts(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	importCSV(t, pool,
		"u.csv", sourcetest.PortalUsersHeader+
			"anna-1,Anna Núñez,anna@example.test,true\nanna-2,ANNA NUNEZ,,true\nanna-3,Anna Maria Nunez,,true\n"+
			"tim,Tim Berg,Home@example.test,true\ntom,Tom Berg,home@example.test,true\nold,Ole Berg,home@example.test,true\n"+
			"mother,Ingrid Berg,home@example.test,true\ngone,Uwe Berg,home@example.test,false\nnone,Nils,,true\n",
		"p.csv", sourcetest.PatientsHeader+"pt-tim,Tim,Berg,2012-03-10,active,false\npt-tom,Tom,Berg,2008-03-09,active,false\npt-old,Ole,Berg,1950-01-01,active,false\n",
		"l.csv", sourcetest.LinksHeader+"tim,pt-tim,self,,\ntom,pt-tom,self,,\nold,pt-old,self,,\nmother,pt-tim,representative,,\nmother,pt-tom,representative,,\n")
	on := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC) // Tom is 18 today
	for id, want := range map[string]string{
		"anna-1": "same_name of ANNA NUNEZ",
		"anna-2": "same_name of Anna Núñez",
		"anna-3": "",
		"tim":    "minors_address of Ingrid Berg, shared_address of Ole Berg Tom Berg",
		"tom":    "shared_address of Ingrid Berg Ole Berg Tim Berg",
		"mother": "shared_address of Ole Berg Tim Berg Tom Berg",
		"none":   "",
		"nobody": "",
	} {
		found, err := Doubts(t.Context(), pool, []string{id}, on)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range found {
			if d.PortalUserID != id {
				t.Errorf("%s: a doubt about %s", id, d.PortalUserID)
			}
			got = append(got, fmt.Sprintf("%s of %s", d.Kind, strings.Join(d.Others, " ")))
		}
		if diff := gocmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}
