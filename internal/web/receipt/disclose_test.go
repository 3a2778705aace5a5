package receipt_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/cli"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/web/webtest"
)

// A sender who may read the record hands the evidence of a delivery, with its content, to a
// lawyer, who checks it with the file alone. The record has to whom, and why.
func TestErrandHandTheEvidenceOver(t *testing.T) {
	t.Parallel()
	s := open(t, "", 0)
	who := s.NewStaff(t, "Rita Reader", policy.SendPortalMessage, policy.ReadRecord)
	s.send(t, policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}, 2)

	e := webtest.StaffErrand(t, s.Site, who)
	e.Click("Messages")
	e.Click("Your biopsy")
	e.Click("List of recipients")
	e.Click("Certificate for")
	e.Click("Hand over the evidence")
	e.Accessible()
	e.Screenshot("disclose")
	e.Type("Who gets it", "Lena Lawyer")
	e.Type("Their address, if you know it", "1 Court Street")
	e.Type("Purpose", "Court order 12/26")
	e.Click("Another ground, such as a court order")
	e.Click("Include the text and the documents of the message")
	file := e.Download("Record the disclosure and save the file")
	e.Done()

	s.Settle(t)
	var got events.DeliveryDisclosed
	lastOf(t, s, &got)
	if got.To != "Lena Lawyer" || got.Address != "1 Court Street" || got.Purpose != "Court order 12/26" || got.Basis != events.ToOther ||
		!got.Content || got.Documents != 2 || len(got.PatientIDs) != 1 || got.PatientIDs[0] != "pt-pat" {
		t.Errorf("the record has %+v", got)
	}
	if sum := sha256.Sum256(file.Data); got.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("the record has the digest %s of another file", got.Digest)
	}
	dir := unzip(t, file.Data)
	if status, out := verify(dir, "--body", "message.txt", "--document", "documents/1-biopsy.pdf", "--document", "documents/2-biopsy.pdf"); status != 0 {
		t.Errorf("the receipt in the bundle does not hold: %s", out)
	}
	read(t, dir, "README.txt", "--body message.txt", "--document documents/1-biopsy.pdf", "Lena Lawyer", "1 Court Street", "Court order 12/26")
	read(t, dir, "certificate.html", "Your biopsy", "Lakeside Practice")
	if err := os.WriteFile(filepath.Join(dir, "message.txt"), []byte("Please don’t call us."), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := verify(dir, "--body", "message.txt"); status != 1 {
		t.Errorf("another text is the one that was sent: status %d", status)
	}
}

// A reader of the record who may not read a message hands over what they may see, and the bundle
// says what is left out and why. A wrong form changes nothing.
func TestABundleWithoutContent(t *testing.T) {
	t.Parallel()
	s := open(t, "", 1)
	reader := s.Staff(t, "Rita Reader", policy.ReadRecord)
	at := "/record/receipts/" + s.message.String() + "/pat/disclose"
	reader.Get(at).Is(http.StatusOK).Says("you may not read them").LacksHTML(`type="checkbox"`)
	right := url.Values{"to": {"Lena Lawyer"}, "purpose": {"Court order"}, "basis": {"other"}}
	for _, wrong := range []struct {
		field, value, says string
		status             int
	}{
		{"to", " ", "Enter the name", http.StatusUnprocessableEntity},
		{"to", strings.Repeat("x", 201), "has 201 characters", http.StatusUnprocessableEntity},
		{"purpose", "", "Enter why", http.StatusUnprocessableEntity},
		{"basis", "friendship", "Choose the ground", http.StatusUnprocessableEntity},
		{"address", "a\x00b", "not text", http.StatusUnprocessableEntity},
		{"content", "yes", "You may not read the content", http.StatusForbidden},
	} {
		form := url.Values{}
		for name, value := range right {
			form[name] = value
		}
		form.Set(wrong.field, wrong.value)
		reader.Post(at, form).Is(wrong.status).Says(wrong.says).LacksHTML("Please call us")
	}
	s.Settle(t)
	var n int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'delivery.disclosed'`).Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d disclosures are recorded (%v)", n, err)
	}
	dir := unzip(t, []byte(reader.Post(at, right).Is(http.StatusOK).Body))
	if status, out := verify(dir); status != 0 {
		t.Errorf("the receipt in the bundle does not hold: %s", out)
	}
	read(t, dir, "README.txt", "are not here", "may not read the content")
	for _, name := range []string{"message.txt", "documents"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("the bundle has %s", name)
		}
	}
	for _, name := range []string{"README.txt", "certificate.html", "receipt.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || bytes.Contains(data, []byte("biopsy")) || bytes.Contains(data, []byte("Please call us")) {
			t.Errorf("%s shows the content (%v)", name, err)
		}
	}
}

// Who may hand a delivery over: readers of the record, and no one without the record.
func TestWhoHandsOver(t *testing.T) {
	t.Parallel()
	s := open(t, "", 0)
	at := "/record/receipts/" + s.message.String() + "/pat/disclose"
	form := url.Values{"to": {"Lena Lawyer"}, "purpose": {"Court order"}, "basis": {"other"}}
	s.SignedOut(t).Post(at, form).Says("Sign in")
	s.Staff(t, "Sam Sender", policy.SendPortalMessage).Post(at, form).Is(http.StatusForbidden)
	reader := s.Staff(t, "Rita Reader", policy.ReadRecord)
	reader.Post("/record/receipts/"+s.message.String()+"/nobody/disclose", form).Is(http.StatusNotFound)
	reader.Post("/record/receipts/x/pat/disclose", form).Is(http.StatusNotFound)
	reader.PostFrom("https://evil.example", at, form).Is(http.StatusForbidden)
	reader.Post(at, form).Is(http.StatusOK)
}

// lastOf reads the latest delivery.disclosed.
func lastOf(t *testing.T, s *clinic, to *events.DeliveryDisclosed) {
	t.Helper()
	var seq int64
	var stored []byte
	if err := s.Admin.QueryRow(t.Context(), `SELECT seq, stored FROM record.events WHERE type = 'delivery.disclosed' ORDER BY seq DESC LIMIT 1`).Scan(&seq, &stored); err != nil {
		t.Fatal(err)
	}
	unpacked, err := merkle.Unpack(uint64(seq), stored)
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Parse(unpacked.Header, unpacked.Data)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := events.Decode[events.DeliveryDisclosed](e)
	if err != nil {
		t.Fatal(err)
	}
	*to = decoded
}

// unzip writes the files of a bundle to a new folder.
func unzip(t *testing.T, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) {
			t.Fatalf("the bundle has a file %q", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, f.Name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.Name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verify runs `postern receipt verify` on the files of a bundle.
func verify(dir string, args ...string) (status int, out string) {
	all := []string{"receipt", "verify", filepath.Join(dir, "receipt.json"), "--key", filepath.Join(dir, "clinic.key")}
	for i, a := range args {
		if i%2 == 1 {
			a = filepath.Join(dir, a)
		}
		all = append(all, a)
	}
	var said, errs bytes.Buffer
	status = cli.RunWith(context.Background(), all, strings.NewReader(""), &said, &errs)
	return status, said.String() + errs.String()
}

// read fails the test for each text that a file lacks.
func read(t *testing.T, dir, name string, texts ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !bytes.Contains(data, []byte(text)) {
			t.Errorf("%s does not say %q:\n%s", name, text, data)
		}
	}
}
