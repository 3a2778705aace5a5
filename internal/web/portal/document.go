package portal

import (
	"net/http"

	"github.com/google/uuid"

	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/inbox"
	"postern/internal/web/page"
)

// kind is a type of document, in words.
type kind struct {
	Words string // "PDF document"
	Opens string // what it takes to open it
	Looks string // how it is looked at here: "picture", "text", or "" for not at all
}

const (
	picture = "picture"
	text    = "text"
)

const (
	mostOpen    = "Most phones and computers can open it."
	needsOffice = "To open it you need an app for office documents."
)

// kinds are by media type. A browser shows the pictures among them without more ado;
// a PDF can hold scripts and is only ever saved.
var kinds = map[string]kind{
	"application/pdf": {"PDF document", mostOpen, ""},
	"image/png":       {"Picture (PNG)", mostOpen, picture},
	"image/jpeg":      {"Picture (JPEG)", mostOpen, picture},
	"image/gif":       {"Picture (GIF)", mostOpen, picture},
	"image/webp":      {"Picture (WebP)", mostOpen, picture},
	"image/tiff":      {"Picture (TIFF)", "You may need an app for pictures of this kind.", ""},
	"image/heic":      {"Picture (HEIC)", "Newer phones can open it.", ""},
	"application/rtf": {"Text document (RTF)", needsOffice, ""},
	"text/plain":      {"Plain text", mostOpen, text},
	"text/csv":        {"Table (CSV)", "To open it you need an app for tables.", text},
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   {"Word document", needsOffice, ""},
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         {"Excel table", needsOffice, ""},
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": {"PowerPoint slides", needsOffice, ""},
	"application/vnd.oasis.opendocument.text":                                   {"Text document (ODT)", needsOffice, ""},
	"application/vnd.oasis.opendocument.spreadsheet":                            {"Table (ODS)", needsOffice, ""},
	"application/vnd.oasis.opendocument.presentation":                           {"Slides (ODP)", needsOffice, ""},
}

// mostText is how large a text may be that is shown: no page has more than 150 kB.
const mostText = 64 << 10

// large is from when on a reader is told that a document takes a while to come.
const large = 1 << 20

// document is a document as its reader sees it before it is downloaded.
type document struct {
	Name  string
	Size  int64
	Kind  kind
	Href  string // its page; what is done with it lies below
	Large bool
}

func documentOf(message uuid.UUID, a message.Attachment) document {
	k, known := kinds[a.MediaType]
	if !known {
		k = kind{"Document", needsOffice, ""}
	}
	if k.Looks == text && a.Size > mostText {
		k.Looks = ""
	}
	return document{Name: a.Name, Size: a.Size, Kind: k, Large: a.Size > large,
		Href: "/portal/messages/" + message.String() + "/documents/" + a.ID.String()}
}

// shown is the page of a document.
type shown struct {
	document
	Message inbox.Message
	Text    string // what it says, where it is shown
}

// document says what a document is, and shows nothing of it.
func (p *Pages) document(w http.ResponseWriter, r *http.Request) error {
	data, err := p.describe(r)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "document.html", Title: "Document", Section: "messages", Data: data})
}

// show shows a document that can be shown. A picture comes by an address of its own.
func (p *Pages) show(w http.ResponseWriter, r *http.Request) error {
	data, err := p.describe(r)
	if err != nil {
		return err
	}
	switch data.Kind.Looks {
	case "":
		return inbox.ErrNotFound
	case text:
		_, content, err := p.get(r)
		if err != nil {
			return err
		}
		data.Text = attachment.Text(content)
	}
	return p.Render(w, r, set, page.View{Template: "show.html", Title: "Document", Section: "messages", Scripts: scripts, Data: data})
}

func (p *Pages) describe(r *http.Request) (shown, error) {
	id, err := idOf(r, "id")
	if err != nil {
		return shown{}, err
	}
	attachment, err := idOf(r, "document")
	if err != nil {
		return shown{}, err
	}
	m, a, err := p.Inbox.Document(r.Context(), page.Subject(r), id, attachment)
	return shown{document: documentOf(id, a), Message: m}, err
}

// get hands out what is in a document: that is a download, whatever becomes of it,
// and it is on the record when this returns.
func (p *Pages) get(r *http.Request) (message.Attachment, []byte, error) {
	id, err := idOf(r, "id")
	if err != nil {
		return message.Attachment{}, nil, err
	}
	attachment, err := idOf(r, "document")
	if err != nil {
		return message.Attachment{}, nil, err
	}
	return p.Inbox.Download(r.Context(), page.Subject(r), id, attachment)
}

func (p *Pages) download(w http.ResponseWriter, r *http.Request) error {
	a, content, err := p.get(r)
	if err != nil {
		return err
	}
	attachment.Describe(w.Header().Set, a.Name, a.MediaType, len(content))
	_, _ = w.Write(content) // the reader is gone where this fails
	return nil
}

// picture answers an img of ours with a picture. Opened by itself it is saved, as any
// other document is. What is no picture is not got at all here.
func (p *Pages) picture(w http.ResponseWriter, r *http.Request) error {
	data, err := p.describe(r)
	if err != nil {
		return err
	}
	if data.Kind.Looks != picture {
		return inbox.ErrNotFound
	}
	return p.download(w, r)
}
