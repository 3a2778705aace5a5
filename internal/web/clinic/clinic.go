// Package clinic is what pages show of the clinic: the page on which staff change it, the logo and
// the style sheet, and the portal's page of help.
package clinic

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/clinic/clinicstore"
	"postern/internal/inbound"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Clinic Store
}

// Store reads and changes the details of the clinic, as [clinicstore.Store] does.
type Store interface {
	Current(ctx context.Context) (clinic.Details, uint64, error)
	Change(ctx context.Context, actor string, seen uint64, wanted clinic.Details) (seq uint64, err error)
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// at is the page of the details.
const at = "/administration/clinic"

// takes is the form with the file of a logo, and a little room for the texts.
var takes = inbound.Body{Types: []string{inbound.Multipart}, MaxBytes: int64(limits.ClinicLogoFile) + 128<<10, Over: 4 << 20}

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{
		{Pattern: "GET " + at, Realm: policy.RealmStaff, Actions: page.May(policy.ChangeClinic), Handle: p.edit},
		{Pattern: "POST " + at, Realm: policy.RealmStaff, Actions: page.May(policy.ChangeClinic), Takes: takes, Handle: p.change},
		{Pattern: "GET " + clinic.LogoPath, Realm: page.NoSession, Handle: p.logo},
		{Pattern: "GET " + clinic.StylePath, Realm: page.NoSession, Handle: p.style},
		{Pattern: "GET /portal/help", Realm: policy.RealmPortalUser, Handle: p.help},
	}
}

// form is the data of the page of the details.
type form struct {
	Fields  []field
	Logo    string // the address of the present logo, "" for none
	Version uint64 // what the reader has seen
}

type field struct {
	clinic.Field
	Value string
}

func (p *Pages) edit(w http.ResponseWriter, r *http.Request) error {
	now, version, err := p.Clinic.Current(r.Context())
	if err != nil {
		return err
	}
	return p.render(w, r, now, version, nil)
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, d clinic.Details, version uint64, errs page.Errors) error {
	data := form{Version: version, Logo: clinic.Face{HasLogo: d.Logo != nil, Version: version}.LogoURL()}
	for _, f := range clinic.Fields {
		f.Name, f.Hint = page.T(r, f.Name), page.T(r, f.Hint)
		data.Fields = append(data.Fields, field{Field: f, Value: *f.Of(&d)})
	}
	return p.Render(w, r, set, page.View{Template: "clinic.html", Title: "Clinic Details", Section: "administration", Data: data, Errors: errs})
}

func (p *Pages) change(w http.ResponseWriter, r *http.Request) error {
	now, version, err := p.Clinic.Current(r.Context())
	if err != nil {
		return err
	}
	typed, seen, errs, err := readForm(r, now)
	if err != nil {
		return err
	}
	for _, fault := range typed.Faults() {
		errs = append(errs, page.Error{Field: fault.Location, Message: page.T(r, nameOf(fault.Location)) + " " + page.T(r, fault.Message)})
	}
	if len(errs) > 0 {
		typed.Logo = now.Logo
		return p.render(w, r, typed, version, errs)
	}
	seq, err := p.Clinic.Change(r.Context(), page.Subject(r).Actor(), seen, typed)
	switch {
	case errors.Is(err, clinicstore.ErrChanged):
		typed.Logo = now.Logo
		return p.render(w, r, typed, version, page.Errors{{Field: "name", Message: "Another staff member has just changed these details. To replace them with what you see here, save again"}})
	case err != nil:
		return err
	case seq == 0:
		return p.Redirect(w, r, at, "Nothing was changed.")
	}
	return p.Redirect(w, r, at, "The details were changed. The portal shows them from now on, and the change is recorded.")
}

func nameOf(key string) string {
	for _, f := range clinic.Fields {
		if f.Key == key {
			return f.Name
		}
	}
	return "Logo:"
}

// readForm returns the details as typed, with the present logo if the form has no other, and the
// version that the reader has seen.
func readForm(r *http.Request, now clinic.Details) (typed clinic.Details, seen uint64, errs page.Errors, err error) {
	typed.Logo = now.Logo
	parts, err := r.MultipartReader()
	if err != nil {
		return typed, 0, nil, fmt.Errorf("reading the form: %w", err)
	}
	remove := false
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return typed, 0, nil, fmt.Errorf("reading the form: %w", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return typed, 0, nil, fmt.Errorf("reading the form: %w", err)
		}
		switch name := part.FormName(); {
		case name == "logo" && len(data) > 0:
			logo, err := clinic.ReadLogo(data)
			if err != nil {
				errs = append(errs, page.Error{Field: "logo", Message: strings.TrimSuffix(page.Say(r, err), ".")})
				continue
			}
			typed.Logo = &logo
		case name == "remove-logo":
			remove = true
		case name == "version":
			seen, _ = strconv.ParseUint(string(data), 10, 64) // wrong: nothing seen, which is then refused
		}
		for _, f := range clinic.Fields {
			if f.Key == part.FormName() {
				*f.Of(&typed) = string(data)
			}
		}
	}
	if remove {
		typed.Logo = nil
	}
	typed.Tidy()
	return typed, seen, errs, nil
}

// logo serves the logo to the pages of the portal and to prints. It draws only, see
// [clinic.ReadLogo], and opened by itself it may do nothing either.
func (p *Pages) logo(w http.ResponseWriter, r *http.Request) error {
	now, version, err := p.Clinic.Current(r.Context())
	if err != nil {
		return err
	}
	if now.Logo == nil {
		return p.NotFound(w, r)
	}
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": "logo"}))
	serve(w, r, version, now.Logo.MediaType, now.Logo.Data)
	return nil
}

func (p *Pages) style(w http.ResponseWriter, r *http.Request) error {
	now, version, err := p.Clinic.Current(r.Context())
	if err != nil {
		return err
	}
	serve(w, r, version, "text/css; charset=utf-8", []byte(now.Style()))
	return nil
}

// serve answers with a part of the details, which browsers keep if the address names its version.
func serve(w http.ResponseWriter, r *http.Request, version uint64, mediaType string, data []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	if r.URL.RawQuery == strconv.FormatUint(version, 10) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(data) // an error means that the client has gone
}

// help is the portal's page of help: the clinic's words, how to reach it, and Postern's own help.
func (p *Pages) help(w http.ResponseWriter, r *http.Request) error {
	return p.Render(w, r, set, page.View{Template: "help.html", Title: language.Mark("Help"), Section: "help"})
}
