package csvfile

import (
	"bytes"
	"strings"
	"testing"

	"postern/internal/directory/source/sourcetest"
)

func FuzzDecodeCSV(f *testing.F) {
	for _, seed := range []string{
		"", "\uFEFF", sourcetest.PatientsHeader + "pt-1,Ana,O'Brien,1980-02-29,active,false\r\n",
		sourcetest.PortalUsersHeader + "pu-1,\"Ana \"\"A\"\"\nB\",a@example.test,true\npu-1,x,y,z\n",
		sourcetest.LinksHeader + "pu-1,pt-1,self,2026-02-02,2026-02-01\n\n,,,,\n",
		sourcetest.PortalUsersHeader + "pu-1,\"Ana,,true\n",
		strings.ReplaceAll(sourcetest.PortalUsersHeader+"pu-1,x,y,z\n", "\n", "\r"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := Decode(0, bytes.NewReader(content), sourcetest.Collector(t, content)); err != nil {
			t.Fatal(err)
		}
	})
}
