package compose_test

import (
	"archive/zip"
	"bytes"
	"mime/multipart"
	"net/http"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/content/clamd"
	"postern/internal/content/clamd/clamdtest"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// A real virus scanner refuses a document with a virus, on the page and through the API, also
// inside of another file. Without an answer of the scanner no document is accepted.
func TestARealScanner(t *testing.T) {
	t.Parallel()
	daemon := clamdtest.Start(t)
	s := webtest.New(t, func(cfg *process.WebConfig) { cfg.Scanner = clamd.New(daemon.Address) })
	s.NewPortalUser(t, "ann")
	w := compose(t, s.Staff(t, "Sam Sender", policy.SendPortalMessage))
	w.press("add-user:ann", nil)
	clean, virus := file{"clean.txt", []byte("Hello")}, file{"virus.txt", clamdtest.EICAR()}
	inside := file{"letter.docx", docx(t, clamdtest.EICAR())}

	for _, infected := range []file{virus, inside} {
		w.attach("attach", text("Aftercare", "Hello"), infected).Says("the virus scanner found a threat in it")
		upload(t, w.Visitor, infected).Is(http.StatusUnprocessableEntity).HasHTML("/problems/attachment-refused", "Eicar-Test-Signature")
	}
	w.attach("attach", text("Aftercare", "Hello"), clean, file{"letter.docx", docx(t, []byte("Hello"))}).Says("clean.txt", "letter.docx").LacksHTML("found a threat")
	upload(t, w.Visitor, clean).Is(http.StatusCreated)
	w.check(text("Aftercare", "Hello")).Says("Check before you send", "clean.txt").LacksHTML("not checked for viruses")

	daemon.Stop()
	w.attach("attach", text("Aftercare", "Hello"), clean).Says("it can’t be checked for viruses right now. Try again in a moment")
	upload(t, w.Visitor, clean).Is(http.StatusServiceUnavailable).HasHTML("/problems/scanner-unavailable", "try again")
}

// upload uploads a document through the API.
func upload(t *testing.T, v *webtest.Visitor, f file) *webtest.Page {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", f.name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(f.data)
	_ = form.Close()
	return v.Send("/v1/attachments", &body, form.FormDataContentType())
}

// docx returns a Word document with another file in it.
func docx(t *testing.T, embedded []byte) []byte {
	t.Helper()
	var data bytes.Buffer
	archive := zip.NewWriter(&data)
	for _, f := range []file{
		{"[Content_Types].xml", []byte(`<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`)},
		{"_rels/.rels", []byte(`<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>`)},
		{"word/document.xml", []byte(`<?xml version="1.0"?><document/>`)},
		{"word/embeddings/attached.bin", embedded},
	} {
		part, err := archive.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}
