// Package clinic defines what the portal, its e-mails and its prints show of the clinic: the
// name, the logo, how to reach it, a page of help and a colour.
//
// Package clinicstore stores it. This package does no I/O.
package clinic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/size"
)

// Details are what the clinic says of itself. Every part may be empty.
type Details struct {
	Name      string `json:"name" doc:"The clinic's name. 0 to {ClinicLine}."`
	Telephone string `json:"telephone" doc:"As people dial it. 0 to {ClinicLine}."`
	Address   string `json:"address" doc:"The postal address, in lines. 0 to {ClinicLines}."`
	Hours     string `json:"hours" doc:"The opening hours, in lines. 0 to {ClinicLines}."`
	Help      string `json:"help" doc:"The page of help of the portal, in the clinic's words. 0 to {ClinicHelp}."`
	Colour    string `json:"colour" doc:"The colour of the portal, as #0a5c66; empty for Postern's own. A link in it must have a contrast of 4.5 to 1."`
	Logo      *Logo  `json:"logo,omitempty" doc:"The logo; none if it is left out."`
}

// Logo is a picture that has passed [ReadLogo].
type Logo struct {
	MediaType string `json:"media_type" enum:"image/svg+xml,image/png" doc:"SVG or PNG."`
	Data      []byte `json:"data" doc:"The picture, in base64. Scripts, links and metadata are removed."`
}

// Digest returns the SHA-256 of the picture in hexadecimal.
func (l Logo) Digest() string {
	sum := sha256.Sum256(l.Data)
	return hex.EncodeToString(sum[:])
}

// Face is what pages show of the clinic: the details without the logo's data.
type Face struct {
	Details // Logo is nil
	HasLogo bool
	// Version is the sequence of the event that changed the details last; 0 if none has.
	Version uint64
}

// LogoURL is the address at which browsers cache the logo until the details change; "" if there is none.
func (f Face) LogoURL() string {
	if !f.HasLogo {
		return ""
	}
	return LogoPath + "?" + strconv.FormatUint(f.Version, 10)
}

// StyleURL is the address of the style sheet with the clinic's colour; "" without a colour.
func (f Face) StyleURL() string {
	if f.Colour == "" {
		return ""
	}
	return StylePath + "?" + strconv.FormatUint(f.Version, 10)
}

// The addresses of the logo and of the style sheet. They need no sign-in.
const (
	LogoPath  = "/clinic/logo"
	StylePath = "/clinic/style.css"
)

// Style is the style sheet of the portal with the clinic's colour; "" without a colour. By night only
// the header has it: what is dark enough to be read by day can't be read then.
func (d Details) Style() string {
	if d.Colour == "" {
		return ""
	}
	return fmt.Sprintf(`.app-portal{--app-header:%[1]s;--app-on-header:#ffffff}
@media (prefers-color-scheme:light){.app-portal{--app-accent:%[1]s;--app-accent-strong:%[2]s;--app-on-accent:#ffffff;--govuk-brand-colour:%[1]s;`+
		`--govuk-link-colour:%[1]s;--govuk-link-visited-colour:%[1]s;--govuk-link-hover-colour:%[2]s;--govuk-link-active-colour:%[2]s}}
`, d.Colour, Darker(d.Colour))
}

// Same reports whether two details are the same, including the logo.
func (d Details) Same(other Details) bool { return reflect.DeepEqual(d, other) }

// Field is a text of the details, for forms and checks.
type Field struct {
	Key   string // in events, in the API, and of the input
	Name  string // on pages
	Hint  string
	Most  limits.Characters
	Lines bool // it may have several lines
	Of    func(*Details) *string
}

// Fields is the table of the texts, in the order of the page.
var Fields = []Field{
	{"name", "Name", "It is in the header of the portal, in e-mails and on prints.", limits.ClinicLine, false, func(d *Details) *string { return &d.Name }},
	{"telephone", "Telephone", "The number that {portal users} call with questions.", limits.ClinicLine, false, func(d *Details) *string { return &d.Telephone }},
	{"address", "Address", "As on an envelope.", limits.ClinicLines, true, func(d *Details) *string { return &d.Address }},
	{"hours", "Opening hours", "For example: Monday to Friday, 8 am to 6 pm.", limits.ClinicLines, true, func(d *Details) *string { return &d.Hours }},
	{"help", "Page of help", "What {portal users} often ask. An empty line begins a new paragraph. Postern’s own help comes after it.", limits.ClinicHelp, true, func(d *Details) *string { return &d.Help }},
	{"colour", "Colour", "Of the header, of buttons and of links in the portal, as # and six digits: #0a5c66. It must be dark enough to read links in it.", 7, false, func(d *Details) *string { return &d.Colour }},
}

// Faults returns the errors in the details. A location is the key of a field, or "logo".
func (d *Details) Faults() []problem.Fault {
	var found []problem.Fault
	for _, f := range Fields {
		text := *f.Of(d)
		hidden := func(r rune) bool { return !unicode.IsGraphic(r) && (!f.Lines || r != '\n') }
		switch {
		case utf8.RuneCountInString(text) > int(f.Most):
			found = append(found, problem.Fault{Location: f.Key, Message: fmt.Sprintf("must have at most %s", f.Most)})
		case !utf8.ValidString(text) || strings.ContainsFunc(text, hidden):
			found = append(found, problem.Fault{Location: f.Key, Message: "must have visible characters only"})
		case f.Key == "colour" && text != "":
			if fault := colourFault(text); fault != "" {
				found = append(found, problem.Fault{Location: f.Key, Message: fault})
			}
		}
	}
	if d.Logo != nil {
		clean, err := ReadLogo(d.Logo.Data)
		switch {
		case err != nil:
			found = append(found, problem.Fault{Location: "logo", Message: err.Error()})
		case clean.MediaType != d.Logo.MediaType:
			found = append(found, problem.Fault{Location: "logo.media_type", Message: "is " + d.Logo.MediaType + ", but the data is " + clean.MediaType})
		default:
			*d.Logo = clean
		}
	}
	return found
}

// Tidy trims the texts, and makes line ends \n.
func (d *Details) Tidy() {
	for _, f := range Fields {
		text := f.Of(d)
		*text = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(*text, "\r\n", "\n"), "\r", "\n"))
	}
	d.Colour = strings.ToLower(d.Colour)
}

// Lines returns the lines of a text.
func Lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Contact returns the lines by which a reader recognises and reaches the clinic: the name, the
// address and the telephone, after the word for it in the reader's language. It is empty if the
// clinic says nothing of itself.
func (d Details) Contact(telephone string) []string {
	var lines []string
	if d.Name != "" {
		lines = append(lines, d.Name)
	}
	lines = append(lines, Lines(d.Address)...)
	if d.Telephone != "" {
		lines = append(lines, telephone+" "+d.Telephone)
	}
	return lines
}

func logoTooLarge(n int) error {
	return fmt.Errorf("the logo has %s, and may have at most %s: make it smaller", size.Text(int64(n)), limits.ClinicLogo)
}
