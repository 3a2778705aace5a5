package cli

import (
	"archive/zip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A bundle from the command line is checked with `postern receipt verify` and its own files. The
// API gives one to the sender, too.
func TestABundleFromTheCommandLine(t *testing.T) {
	u := &used{postern: newPostern(t)}
	dir := t.TempDir()
	u.whileUp(func(url string) {
		u.token = u.must("token", "create", "--staff", "admin@clinic.example.test")
		u.message = u.send(url)
		u.eventually("the message is delivered", func() bool { return u.progress(url, u.message).Delivered == 1 })
		file := filepath.Join(dir, "bundle.zip")
		out := u.must("receipt", "bundle", u.message, "ingrid-berg", "--to", "Lena Lawyer", "--purpose", "court order", "--content", "--out", file)
		if !strings.Contains(out, "The disclosure is event") {
			t.Errorf("it says %s", out)
		}
		unpack(t, file, dir)
		if out := u.must("receipt", "verify", filepath.Join(dir, "receipt.json"), "--key", filepath.Join(dir, "clinic.key"), "--body", filepath.Join(dir, "message.txt")); !strings.Contains(out, "is the body that was sent") {
			t.Errorf("the receipt says %s", out)
		}
		u.ask(http.MethodPost, url+"/v1/messages/"+u.message+"/deliveries/ingrid-berg/bundle", `{"to":"Lena Lawyer","purpose":"court order","basis":"other","content":true}`, nil)
		if out := u.must("record", "disclosures", "noah-berg"); strings.Count(out, "Lena Lawyer") != 2 || !strings.Contains(out, "court order") {
			t.Errorf("the accounting says %s", out)
		}
		if out := u.must("record", "disclosures", "noah-berg", "--json"); !strings.Contains(out, `"exempt":""`) {
			t.Errorf("the accounting says %s", out)
		}
		u.must("record", "disclosures", "noah-berg", "--out", filepath.Join(dir, "disclosures.csv"))
	}, "--demo")
	u.must("verify")
}

// unpack writes the files of a ZIP file into a folder.
func unpack(t *testing.T, file, dir string) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f.Name)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
