package portal

import (
	"net/http"

	"github.com/google/uuid"

	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/inbox"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// kind is a type of document, in words.
type kind struct {
	Words string // "PDF document", in English
	Opens string // the app that the reader needs to open it
	Looks string // how a page shows it: "picture", "text", "pdf", or "" for not at all
}

const (
	picture = "picture"
	text    = "text"
	pdf     = "pdf"
)

var (
	mostOpen    = language.Mark("Most phones and computers can open it.")
	needsOffice = language.Mark("To open it you need an app for office documents.")
)

// kinds are the types of documents, by media type. Browsers show some pictures without risk. A PDF
// can hold scripts: pdf.js draws it without them, within a sandbox.
var kinds = map[string]kind{
	"application/pdf": {language.Mark("PDF document"), mostOpen, pdf},
	"image/png":       {language.Mark("Picture (PNG)"), mostOpen, picture},
	"image/jpeg":      {language.Mark("Picture (JPEG)"), mostOpen, picture},
	"image/gif":       {language.Mark("Picture (GIF)"), mostOpen, picture},
	"image/webp":      {language.Mark("Picture (WebP)"), mostOpen, picture},
	"image/tiff":      {language.Mark("Picture (TIFF)"), language.Mark("You may need an app for pictures of this kind."), ""},
	"image/heic":      {language.Mark("Picture (HEIC)"), language.Mark("Newer phones can open it."), ""},
	"application/rtf": {language.Mark("Text document (RTF)"), needsOffice, ""},
	"text/plain":      {language.Mark("Plain text"), mostOpen, text},
	"text/csv":        {language.Mark("Table (CSV)"), language.Mark("To open it you need an app for tables."), text},
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   {language.Mark("Word document"), needsOffice, ""},
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         {language.Mark("Excel table"), needsOffice, ""},
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": {language.Mark("PowerPoint slides"), needsOffice, ""},
	"application/vnd.oasis.opendocument.text":                                   {language.Mark("Text document (ODT)"), needsOffice, ""},
	"application/vnd.oasis.opendocument.spreadsheet":                            {language.Mark("Table (ODS)"), needsOffice, ""},
	"application/vnd.oasis.opendocument.presentation":                           {language.Mark("Slides (ODP)"), needsOffice, ""},
}

// mostText is the largest text that a page shows, in bytes: no page has more than 150 kB.
const mostText = 64 << 10

// large is the size in bytes from which the page says that the download takes a while.
const large = 1 << 20

// document describes a document before the download.
type document struct {
	Name  string
	Size  int64
	Kind  kind
	Href  string // its page; the addresses to show and download it are below
	Large bool
}

func documentOf(message uuid.UUID, a message.Attachment) document {
	k, known := kinds[a.MediaType]
	if !known {
		k = kind{language.Mark("Document"), needsOffice, ""}
	}
	if k.Looks == text && a.Size > mostText {
		k.Looks = ""
	}
	return document{Name: a.Name, Size: a.Size, Kind: k, Large: a.Size > large,
		Href: "/portal/messages/" + message.String() + "/documents/" + a.ID.String()}
}

// shown is the data of a document's page.
type shown struct {
	document
	Message inbox.Message
	Text    string // the content of a text that is shown
}

// document shows the name, type and size of a document, and not its content.
func (p *Pages) document(w http.ResponseWriter, r *http.Request) error {
	data, err := p.describe(r)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "document.html", Title: "Document", Section: "messages", Data: data})
}

// show shows a picture or a text. The page loads a picture from its own address.
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
	view := page.View{Template: "show.html", Title: "Document", Section: "messages", Scripts: scripts, Data: data}
	if data.Kind.Looks == pdf {
		page.AllowFrames(w.Header())
		view.Scripts = append(view.Scripts[:len(scripts):len(scripts)], "pdf.js")
	}
	return p.Render(w, r, set, view)
}

// frame is the sandbox in which a PDF is drawn. It holds nothing of a document: the page around it
// hands one over.
func (p *Pages) frame(w http.ResponseWriter, r *http.Request) error {
	page.Sandbox(w.Header())
	return p.Fragment(w, r, set, "frame", page.View{Template: "frame.html"})
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

// get returns the content of a document. It counts as a download, which is recorded
// when get returns, even if the answer never arrives.
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
	_, _ = w.Write(content) // an error means that the client has gone
	return nil
}

// shownAs answers an <img> or a script of our pages with a document that they show. If a reader
// opens the address directly, the browser saves it, like any document. Documents that look
// otherwise are not found here.
func (p *Pages) shownAs(looks string) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		data, err := p.describe(r)
		if err != nil {
			return err
		}
		if data.Kind.Looks != looks {
			return inbox.ErrNotFound
		}
		return p.download(w, r)
	}
}
