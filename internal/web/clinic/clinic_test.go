package clinic_test

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="40" height="20" fill="#7a1f5c"/><script>alert(1)</script></svg>`

// form is the form of Clinic Details, with a file for the logo if there is one.
func form(t *testing.T, texts map[string]string, logo []byte) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range texts {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if logo != nil {
		part, err := w.CreateFormFile("logo", "logo.svg")
		if err == nil {
			_, err = part.Write(logo)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, w.FormDataContentType()
}

// An administrator gives the portal the clinic's face, by clicking only. It is on the page where
// portal users sign in, on their pages and prints, and in e-mails; and the change is on the record.
func TestErrandMakeThePortalTheClinics(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "pat")
	maria := s.NewStaff(t, "Maria Manager", policy.ManageClinic)
	e := webtest.StaffErrand(t, s, maria)
	e.Click("Administration")
	e.Accessible()
	e.Type("Name", "Lakeside Practice")
	e.Type("Telephone", "+1 555 0100")
	e.Type("Address", "1 Lake Road\nSpringfield")
	e.Type("Opening hours", "Monday to Friday, 8 am to 6 pm")
	e.Type("Page of help", "Ask at the desk.")
	e.Type("Colour", "#7a1f5c")
	e.Upload("Logo", webtest.File{Name: "logo.svg", Data: []byte(drawing)})
	e.Click("Save the details")
	e.Sees("The portal shows them from now on")
	e.Accessible()
	e.Screenshot("clinic-details")
	e.Done()

	b := webtest.OpenBrowser(t, s)
	b.Open("/portal/sign-in")
	b.Sees("Lakeside Practice", "1 Lake Road", "+1 555 0100", "Monday to Friday")
	b.AccessibleInAllViews()
	b.Screenshot("portal-sign-in-clinic")
	if wide := webtest.Evaluate[int](b, `document.querySelector(".app-header__logo").naturalWidth`); wide == 0 {
		t.Error("the logo is not shown")
	}
	b.Click("Help")
	b.Sees("Ask at the desk.", "Signing in")
	b.AccessibleInAllViews()
	b.SignInPortal("pat")
	b.Sees("Your messages", "Lakeside Practice")
	b.AccessibleInAllViews()
	b.Screenshot("portal-inbox-clinic")
	s.Staff(t, "Rita Reviewer", policy.ReadRecord).Get("/record?type=clinic.changed").Is(http.StatusOK).Says("Maria Manager changed the clinic’s details")
}

// version returns the version in the form on a page.
func version(t *testing.T, p *webtest.Page) string {
	t.Helper()
	found := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(p.Body)
	if found == nil {
		t.Fatal("the page has no version")
	}
	return found[1]
}

// Wrong details change nothing, say what to do, and keep what was typed.
func TestWrongDetails(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	maria := s.Staff(t, "Maria Manager", policy.ManageClinic)
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 2001, 1))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		texts map[string]string
		logo  []byte
		says  string
	}{
		"a pale colour":    {map[string]string{"colour": "#ffd700"}, nil, "Colour is too light"},
		"no colour":        {map[string]string{"colour": "teal"}, nil, "Colour must be # and six digits"},
		"a long name":      {map[string]string{"name": strings.Repeat("a", 101)}, nil, "Name must have at most 100 characters"},
		"two lines":        {map[string]string{"telephone": "1\n2"}, nil, "Telephone must have visible characters only"},
		"a photograph":     {nil, []byte("\xff\xd8\xff\xe0"), "The logo is neither an SVG nor a PNG"},
		"a large picture":  {nil, large.Bytes(), "2001 × 1 pixels"},
		"an older version": {map[string]string{"version": "7"}, nil, "Another staff member has just changed these details"},
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[string]string{"version": "0", "hours": "Always open"}
			for k, v := range c.texts {
				texts[k] = v
			}
			body, kind := form(t, texts, c.logo)
			maria.Send("/administration/clinic", body, kind).Is(http.StatusUnprocessableEntity).Says(c.says, "Always open")
		})
	}
	body, kind := form(t, map[string]string{"version": "0"}, bytes.Repeat([]byte("a"), 2<<20))
	maria.Send("/administration/clinic", body, kind).Is(http.StatusRequestEntityTooLarge)
	maria.Get("/administration/clinic").Is(http.StatusOK).LacksHTML("Always open")
	s.Staff(t, "Sam Staff", policy.ManageLabels).Get("/administration/clinic").Is(http.StatusForbidden)
}

// The logo draws only, wherever it is opened, and goes when it is removed.
func TestTheLogo(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	maria, out := s.Staff(t, "Maria Manager", policy.ManageClinic), s.SignedOut(t)
	out.Get("/clinic/logo").Is(http.StatusNotFound)
	body, kind := form(t, map[string]string{"version": "0"}, []byte(drawing))
	maria.Send("/administration/clinic", body, kind).Is(http.StatusOK)
	logo := out.Get("/clinic/logo").Is(http.StatusOK).LacksHTML("script", "alert")
	for name, want := range map[string]string{"Content-Type": "image/svg+xml", "Content-Security-Policy": "sandbox; default-src 'none'"} {
		if got := logo.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	seen := version(t, maria.Get("/administration/clinic"))
	body, kind = form(t, map[string]string{"version": seen, "remove-logo": "yes"}, nil)
	maria.Send("/administration/clinic", body, kind).Is(http.StatusOK)
	out.Get("/clinic/logo").Is(http.StatusNotFound)
}

// The page of the details is in Spanish, too.
func TestDetailsInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	v := s.Staff(t, "Maria Manager", policy.ManageClinic)
	v.Get("/administration/clinic").Is(http.StatusOK).
		Says("Datos de la clínica", "Teléfono", "Un SVG o un PNG, de hasta 48 kB.", "Guardar los datos").HasHTML(`<html lang="es"`)
	body, kind := form(t, map[string]string{"name": "Clínica del Lago", "version": "0"}, nil)
	v.Send("/administration/clinic", body, kind).Is(http.StatusOK).Says("Los datos se cambiaron.")
}
