package compose

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

const (
	mostFields = 2 << 20 // bytes of a form without its files
	fieldCost  = 64      // bytes of a field besides its name and value
	// mostForm is the maximum size of a form with its files, in bytes. The rest of a
	// file that is too large is read and dropped, up to three times the size of a
	// message's documents.
	mostForm = 3*int64(limits.Attachments)*int64(limits.AttachmentSize) + 16<<20
	// formTimeout is how long the upload of a form with files may take.
	formTimeout = 15 * time.Minute
)

// form is the posted form of a draft.
type form struct {
	url.Values
	do, what string       // of the pressed button: "add-user" and "ann"
	uploads  []uuid.UUID  // the uploaded documents
	wording  wording.Text // of the button "use-wording"
	refused  page.Errors  // errors, for example of documents that can't be attached
	in       language.Language
}

// read reads the form as a stream. Files are not written to the disk, where they would
// lie unencrypted: each is passed on while it is read.
func (p *Pages) read(w http.ResponseWriter, r *http.Request) (*form, error) {
	f := &form{Values: url.Values{}, in: language.From(r.Context())}
	parts, err := r.MultipartReader()
	switch {
	case errors.Is(err, http.ErrNotMultipart):
		f.Values = r.PostForm
	case err != nil:
		return nil, unreadable(r, err)
	default:
		if err := p.readParts(r, parts, f); err != nil {
			return nil, err
		}
	}
	f.do, f.what, _ = strings.Cut(f.Get("do"), ":")
	return f, nil
}

func (p *Pages) readParts(r *http.Request, parts *multipart.Reader, f *form) error {
	fields := int64(mostFields)
	for {
		part, err := parts.NextPart()
		if err == io.EOF { // not errors.Is: an error that wraps io.EOF means an incomplete form
			return nil
		}
		if err != nil {
			return unreadable(r, err)
		}
		if part.FileName() != "" {
			if err := p.keep(r, part, f); err != nil {
				return err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, fields+1))
		if fields -= int64(len(value) + len(part.FormName()) + fieldCost); err == nil && fields < 0 {
			err = &http.MaxBytesError{Limit: mostFields}
		}
		if err != nil {
			return unreadable(r, err)
		}
		f.Add(part.FormName(), string(value))
	}
}

// keep uploads one file. A file that can't be attached does not affect the others.
func (p *Pages) keep(r *http.Request, part *multipart.Part, f *form) error {
	up, err := p.Composer.Upload(r.Context(), page.Subject(r), part.FileName(), part)
	if err == nil {
		f.uploads = append(f.uploads, up.ID)
		return nil
	}
	why := whyNotAttached(f.in, fileName(part), err)
	if why == "" {
		return err
	}
	f.refused = append(f.refused, page.Error{Field: "file", Message: why})
	return nil
}

// seen is the version of the draft that the page shows. A sender who was told of a
// change in another tab can overwrite it.
func (f *form) seen() draft.Seen {
	version := f.Get("version")
	if f.do == "overwrite" {
		version = f.what
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 0 {
		n = -1 // no draft has version -1: the save is refused as stale
	}
	return draft.Seen{Version: n, Page: f.Get("page")}
}

// typed copies the typed text into a draft. A form without text, such as an uploaded
// document alone, leaves the text as it is.
func (f *form) typed(c *draft.Content) {
	if !f.Has("subject") {
		return
	}
	c.Subject = f.Get("subject")
	c.Body = strings.ReplaceAll(f.Get("message"), "\r\n", "\n")
	c.When = draft.When{Later: f.Get("when") == "later", Day: f.Get("send-day"), Month: f.Get("send-month"),
		Year: f.Get("send-year"), Time: f.Get("send-time"), Offset: f.Get("send-offset")}
}

// change applies the form to a draft.
func (f *form) change(c *draft.Content) {
	f.typed(c)
	f.picks(c)
	to := &c.Recipients
	switch f.do {
	case "add-user":
		to.PortalUserIDs = with(to.PortalUserIDs, f.what)
	case "remove-user":
		to.PortalUserIDs = without(to.PortalUserIDs, f.what)
		*to = to.With(f.what, nil)
	case "add-group":
		to.Groups = with(to.Groups, audiences.Group(f.what))
	case "remove-group":
		to.Groups = without(to.Groups, audiences.Group(f.what))
	case "add-bcc":
		c.StaffBcc = with(c.StaffBcc, f.what)
	case "remove-bcc":
		c.StaffBcc = without(c.StaffBcc, f.what)
	case "use-wording":
		use(f.wording, c)
	case "remove-file":
		id, _ := uuid.Parse(f.what)
		c.AttachmentIDs = without(c.AttachmentIDs, id)
	}
	for _, id := range f.uploads {
		if len(c.AttachmentIDs) < int(limits.Attachments) {
			c.AttachmentIDs = with(c.AttachmentIDs, id)
			continue
		}
		f.refused = append(f.refused, page.Error{Field: "file", Message: f.in.Text("A message can have at most {count} documents. The others were not added.", "count", int(limits.Attachments))})
		break
	}
}

func with[T comparable](all []T, one T) []T {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(v T) bool { return v == one })
}

// permit checks a recipient before it is added: a group needs a permission of its own,
// and a person must exist.
func (p *Pages) permit(r *http.Request, f *form) error {
	switch f.do {
	case "add-group":
		if err := policy.Allow(page.Subject(r), policy.SendToGroup); err != nil {
			return err
		}
		if !slices.Contains(allGroups, audiences.Group(f.what)) {
			f.refused = append(f.refused, page.Error{Field: "find-user", Message: "That group does not exist. Choose a group from the list."})
			f.do = ""
		}
	case "add-user":
		unknown, err := directory.CheckIDs(r.Context(), p.Directory, []string{printable(f.what)})
		if err != nil {
			return err
		}
		if len(unknown) > 0 {
			f.refused = append(f.refused, page.Error{Field: "find-user", Message: "That person is no longer in the directory. Search again."})
			f.do = ""
		}
	case "use-wording":
		id, _ := uuid.Parse(f.Get("wording"))
		one, err := p.Wordings.Get(r.Context(), page.Subject(r), id)
		if errors.Is(err, wording.ErrNotFound) {
			f.refused = append(f.refused, page.Error{Field: "wording", Message: "Choose a wording from the list."})
			f.do, err = "", nil
		}
		f.wording = one.Text
		return err
	case "add-bcc":
		_, err := p.Gate.StaffByID(r.Context(), printable(f.what))
		if errors.Is(err, access.ErrNoStaff) {
			f.refused = append(f.refused, page.Error{Field: "find-staff", Message: "That person is no longer a staff member. Search again."})
			f.do, err = "", nil
		}
		return err
	}
	return nil
}

// printable removes characters that Postgres does not accept.
func printable(id string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(id, "\x00", ""), "")
}
