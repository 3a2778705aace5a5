package portal_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/web/webtest"
)

// photo is a picture that does not compress.
func photo(t *testing.T, width, height int) webtest.File {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	random := rand.New(rand.NewPCG(1, 2))
	for y := range height {
		for x := range width {
			picture.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(random.UintN(64)), 255}) // #nosec G115 -- a pattern
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return webtest.File{Name: "Scan of the knee.png", Data: b.Bytes()}
}

// The type and size of a document are shown before the download, and the download is
// recorded.
func TestDownloadADocument(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	id := c.send(message{subject: "After your visit", body: "x", documents: []webtest.File{letterPDF}}, "pu-1")
	at := c.document(id)
	pat.Get(at).Is(http.StatusOK).Says("Letter of discharge.pdf", "Kind PDF document", "Size 48 bytes", "From Ada Brook", "Message After your visit", "Download").
		LacksHTML("Show the").HasHTML("<title>Document – Postern</title>", at+"/show")
	pat.Get(at + "/show").Is(http.StatusOK).LacksHTML("%PDF") // a script gets the content
	pat.Get(at + "/picture").Is(http.StatusNotFound)
	if diff := cmp.Diff([]string{"delivery.opened"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}

	p := pat.Get(at + "/download").Is(http.StatusOK)
	if p.Body != string(letterPDF.Data) {
		t.Errorf("got %q", p.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pdf", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store",
		"Content-Disposition":     `attachment; filename="Letter of discharge.pdf"; filename*=UTF-8''Letter%20of%20discharge.pdf`,
		"Content-Security-Policy": "sandbox; default-src 'none'",
	} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"delivery.opened", "attachment.downloaded"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// A picture or a plain text can be shown on a page. Showing it is recorded as a download,
// once.
func TestShowADocument(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	id := c.send(message{subject: "After your visit", body: "x", documents: []webtest.File{notes}}, "pu-1")
	at := c.document(id)
	pat.Get(at).Says("Plain text", "Show the text here", "or look at it here").LacksHTML("Wash")
	pat.Get(at+"/show").Is(http.StatusOK).Says("notes.txt", "Wash <b>daily</b>. Keep dry.").LacksHTML("<b>daily")
	if diff := cmp.Diff([]string{"delivery.opened", "attachment.downloaded"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}

	scan := photo(t, 40, 30)
	at = c.document(c.send(message{subject: "Your knee", body: "x", documents: []webtest.File{scan}}, "pu-1"))
	pat.Get(at).Says("Picture (PNG)", "Show the picture here")
	pat.Get(at+"/show").Is(http.StatusOK).HasHTML(`src="`+at+`/picture"`, "Scan of the knee.png")
	if diff := cmp.Diff([]string{"delivery.opened"}, c.recorded()[2:]); diff != "" {
		t.Errorf("recorded for the page (-want +got):\n%s", diff)
	}
	p := pat.Get(at + "/picture").Is(http.StatusOK)
	if p.Body != string(scan.Data) || p.Header.Get("Content-Type") != "image/png" || p.Header.Get("Content-Security-Policy") != "sandbox; default-src 'none'" {
		t.Errorf("%d bytes with %v", len(p.Body), p.Header)
	}
	if diff := cmp.Diff([]string{"delivery.opened", "attachment.downloaded"}, c.recorded()[2:]); diff != "" {
		t.Errorf("recorded for the picture (-want +got):\n%s", diff)
	}
}

// A text that would make the page too large can only be downloaded. A text that is not
// UTF-8 is shown.
func TestLargeAndForeignTexts(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	long := webtest.File{Name: "long.txt", Data: []byte(strings.Repeat("words and words\n", 5000))}
	at := c.document(c.send(message{subject: "s", body: "x", documents: []webtest.File{long}}, "pu-1"))
	pat.Get(at).Says("78 kB").LacksHTML("/show")
	pat.Get(at + "/show").Is(http.StatusNotFound)
	// It is shown in any encoding, and downloaded unchanged.
	for _, data := range []string{"Gr\xfc\xdfe aus der Praxis", "\xff\xfeG\x00r\x00\xfc\x00\xdf\x00e\x00 \x00a\x00u\x00s\x00 \x00d\x00e\x00r\x00 \x00P\x00r\x00a\x00x\x00i\x00s\x00", "Grüße aus der Praxis\x1a"} {
		old := webtest.File{Name: "old.txt", Data: []byte(data)}
		at = c.document(c.send(message{subject: "s", body: "x", documents: []webtest.File{old}}, "pu-1"))
		pat.Get(at+"/show").Is(http.StatusOK).Says("Grüße aus der Praxis").LacksHTML("\x1a", "\ufeff")
		if got := pat.Get(at + "/download").Is(http.StatusOK).Body; got != data {
			t.Errorf("handed out as %q", got)
		}
	}
}
