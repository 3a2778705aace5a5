package portal_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/web/webtest"
)

// pdfOf is a PDF with a text on each page, and a script that runs where scripts in documents run.
func pdfOf(pages ...string) []byte {
	var b bytes.Buffer
	var at []int
	object := func(format string, args ...any) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n"+format+"\nendobj\n", append([]any{len(at)}, args...)...)
	}
	b.WriteString("%PDF-1.4\n")
	var kids []string
	for i := range pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", 5+2*i))
	}
	object("<< /Type /Catalog /Pages 2 0 R /OpenAction 4 0 R >>")
	object("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(pages))
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	object("<< /S /JavaScript /JS (app.alert\\(1\\)) >>")
	for i, text := range pages {
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >> /Contents %d 0 R >>", 6+2*i)
		draw := "BT /F 24 Tf 72 720 Td (" + text + ") Tj ET"
		object("<< /Length %d >>\nstream\n%s\nendstream", len(draw), draw)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return b.Bytes()
}

// A patient reads a PDF on the page, with Download beside it. That they looked at it is recorded as a
// download. The frame that draws it has no origin: the document can reach nothing of the site.
func TestErrandReadADocument(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pat")
	c.send(message{subject: "After your operation", body: "Text", documents: []webtest.File{{Name: "Letter.pdf", Data: pdfOf("Change the dressing", "Page two")}}}, "pat")
	e := webtest.PortalErrand(t, c.Site, "pat")
	e.Click("After your operation")
	e.Click("Read it here")
	e.Sees("2 pages", "Download")
	e.Accessible()
	e.Screenshot("portal-pdf")
	e.Done()
	if diff := cmp.Diff([]string{"delivery.opened", "attachment.downloaded"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// What is not drawn is downloaded: a damaged document says so.
func TestADamagedPDFIsDownloaded(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pat")
	at := c.document(c.send(message{subject: "After your operation", body: "Text", documents: []webtest.File{letterPDF}}, "pat"))
	b := webtest.OpenBrowser(t, c.Site)
	b.SignInPortal("pat")
	b.Open(at + "/show")
	b.Sees("The document can’t be shown here. Download it to read it.", "Download")
	b.AccessibleInAllViews()
}

// The frame and the document within it may do nothing else, wherever they are opened.
func TestTheFrameIsASandbox(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pat")
	at := c.document(c.send(message{subject: "After your operation", body: "Text", documents: []webtest.File{letterPDF}}, "pat"))
	policy := pat.Get("/portal/frame").Is(http.StatusOK).Header.Get("Content-Security-Policy")
	for _, wanted := range []string{"sandbox allow-scripts;", "default-src 'none'", "script-src 'self'", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, wanted) {
			t.Errorf("the frame's policy is %s", policy)
		}
	}
	if strings.Contains(policy, "allow-same-origin") || strings.Contains(policy, "unsafe") {
		t.Errorf("the frame's policy is %s", policy)
	}
	document := pat.Get(at + "/pdf").Is(http.StatusOK).Header
	if document.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || !strings.HasPrefix(document.Get("Content-Disposition"), "attachment") {
		t.Errorf("the document alone comes with %v", document)
	}
	pat.Get(at + "/picture").Is(http.StatusNotFound)
	if policy := pat.Get("/portal").Header.Get("Content-Security-Policy"); strings.Contains(policy, "frame-src") {
		t.Errorf("another page may hold frames: %s", policy)
	}
}
