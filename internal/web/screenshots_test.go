package web_test

import (
	"os"
	"path/filepath"
	"testing"

	"postern/internal/web/webtest"
)

// pictures are those of docs/screenshots: the name, the visitor and the address of each.
// `make screenshots` takes them again.
var pictures = []struct{ name, who, path string }{
	{"sign-in", "signed-out", "/sign-in"},
	{"messages", "maria", "/messages"},
	{"message", "maria", "/messages/{everybody}"},
	{"recipients", "maria", "/messages/{everybody}/recipients"},
	{"compose", "maria", "/messages/drafts/{draft}"},
	{"check", "maria", "/messages/drafts/{draft}/check"},
	{"drafts", "maria", "/messages/drafts"},
	{"search", "maria", "/search?q=berg"},
	{"permissions", "maria", "/administration/staff/{staff}"},
	{"labels", "maria", "/administration/labels"},
	{"directory", "maria", "/directory/portal-users?q=finch"},
	{"person", "maria", "/directory/portal-users/ingrid-berg"},
	{"import", "maria", "/directory/import/{import}"},
	{"record", "maria", "/record"},
	{"timeline", "maria", "/record/messages/{everybody}"},
	{"disclosures", "maria", "/record/patients/amina-diallo"},
	{"erasure", "maria", "/record/erasures/{erasure}"},
	{"portal-sign-in", "signed-out", "/portal/sign-in"},
	{"portal-inbox", "reader", "/portal"},
	{"portal-message", "reader", "/portal/messages/{sent}"},
}

// tallest is the largest height of a picture, and heaviest its largest size.
const (
	tallest  = 1600
	heaviest = 150_000
)

// The pictures of the README can be taken, at a desk and on a phone. Without -screenshots the
// first of each visitor is enough: TestEveryPage opens all pages.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	// Opened and new messages make the picture realistic.
	c.visitor(t, "reader").Get(c.at(t, "/portal/messages/{everybody}"))
	for _, who := range []string{"signed-out", "maria", "reader"} {
		t.Run(who, func(t *testing.T) {
			b := c.browser(t, who)
			for _, p := range pictures {
				if p.who == who {
					b.Open(c.at(t, p.path))
					b.At(c.at(t, p.path))
					b.Wide()
					b.Picture(p.name, tallest)
					b.Phone()
					b.Picture(p.name+"-phone", tallest)
					if !webtest.KeepsPictures() {
						return
					}
				}
			}
		})
	}
}

// All pictures of docs/screenshots exist and are small.
func TestKeptScreenshots(t *testing.T) {
	for _, p := range pictures {
		for _, name := range []string{p.name, p.name + "-phone"} {
			picture, err := os.Stat(filepath.Join("../../docs/screenshots", name+".png"))
			if err != nil {
				t.Errorf("make screenshots: %v", err)
			} else if picture.Size() > heaviest {
				t.Errorf("%s has %d bytes, more than %d", name, picture.Size(), heaviest)
			}
		}
	}
}
