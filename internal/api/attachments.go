package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content/attachment"
	"postern/internal/inbound"
	"postern/internal/limits"
)

// Attachment is a document.
type Attachment struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Name      string    `json:"name" doc:"Cleaned of paths and control characters; its extension says what the file is."`
	Size      int64     `json:"size" doc:"Bytes."`
	MediaType string    `json:"media_type" doc:"As found in the file itself."`
	SHA256    string    `json:"sha256,omitempty" doc:"Hexadecimal."`
}

func attachmentOf(a compose.Attachment) Attachment {
	return Attachment{ID: a.ID, Name: a.Name, Size: a.Size, MediaType: a.MediaType, SHA256: a.SHA256}
}

// uploadInput takes the request as it comes: the form is read here and not by
// huma, which would write files to the disk as they are.
type uploadInput struct{ request *http.Request }

// Resolve implements [huma.Resolver].
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

func (a *API) attachments() {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/attachments", id: "upload-attachment", tag: forStaff, status: http.StatusCreated,
		summary: fmt.Sprintf("Upload a document of at most %s (%d bytes), in the form field `file`, to be sent with a message.", limits.AttachmentSize, int64(limits.AttachmentSize)),
		actions: []policy.Action{policy.SendMessage}, raw: true,
		takes: inbound.Body{Types: []string{inbound.Multipart}, Most: int64(limits.AttachmentSize) + inbound.Small, Over: 8 * int64(limits.AttachmentSize), Hold: attachment.Holds, Within: 2 * time.Minute},
		problems: []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity},
	}, a.upload)
	// Described after it was registered: huma would read it as JSON otherwise.
	a.huma.OpenAPI().Paths["/v1/attachments"].Post.RequestBody = &huma.RequestBody{
		Required: true,
		Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: "object", Required: []string{"file"},
			Properties: map[string]*huma.Schema{"file": {Type: "string", Format: "binary"}},
		}}},
	}
}

func (a *API) upload(ctx context.Context, in *uploadInput) (*body[Attachment], error) {
	form, err := in.request.MultipartReader()
	if err != nil {
		return nil, unsupported.problem("send the file as multipart/form-data, in the field file", Fault{"header.Content-Type", "is not multipart/form-data with a boundary"})
	}
	part, err := form.NextPart()
	if isEnd(err) {
		return nil, invalid("body.file", "is required")
	}
	if err != nil {
		return nil, halfForm(err)
	}
	if part.FormName() != "file" {
		return nil, invalid("body."+cleanField(part.FormName()), "is not known: send one field, file")
	}
	name := part.FileName()
	if !utf8.ValidString(name) {
		return nil, invalid("body.file", "has a name that is not UTF-8")
	}
	kept, err := a.Compose.Upload(ctx, subjectOf(ctx), name, &wholePart{part: part, form: form})
	if err != nil {
		return nil, err
	}
	return answerWith(attachmentOf(kept)), nil
}

// cleanField makes the name of an unknown form field fit to be said.
func cleanField(name string) string {
	if name == "" || len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "?"
	}
	return name
}

// halfForm is the error of a form that could not be read to its end.
func halfForm(err error) error {
	if p := ofBody(err); p != nil {
		return p
	}
	return badRequest.problem("the upload stopped half-way: nothing was kept, send it again", Fault{"body", "ends before the form does"})
}

// wholePart reads a part, and ends only if the form ends with it, so that nothing
// is kept of one that was cut off.
type wholePart struct {
	part *multipart.Part
	form *multipart.Reader
}

func (w *wholePart) Read(b []byte) (int, error) {
	n, err := w.part.Read(b)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, halfForm(err)
	}
	switch _, err := w.form.NextPart(); {
	case isEnd(err):
		return n, io.EOF
	case err == nil:
		return n, invalid("body", "holds more than one field: send one file at a time")
	default:
		return n, halfForm(err)
	}
}

// isEnd tells the end of a form from a form that has none, whose error wraps
// io.EOF.
func isEnd(err error) bool { return err == io.EOF }

// download answers with a document: as a file to be saved, never as a page.
func download(document compose.Attachment, data []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		DescribeDocument(ctx.SetHeader, document, len(data))
		ctx.SetStatus(http.StatusOK)
		_, _ = ctx.BodyWriter().Write(data) // the reader is gone where this fails
	}}
}

// DescribeDocument sets the headers of an answer that is a document: a file to be
// saved, and a page in no case. The API and the pages hand documents out with them.
func DescribeDocument(set func(name, value string), document compose.Attachment, size int) {
	set("Content-Type", document.MediaType)
	set("Content-Length", fmt.Sprint(size))
	set("Content-Disposition", disposition(document.Name))
	set("Content-Security-Policy", "sandbox; default-src 'none'")
	set("Cache-Control", "private, no-store")
}

// disposition names a download, RFC 6266: in ASCII for old readers, and as it is
// (RFC 8187) for all others.
func disposition(name string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return mime.FormatMediaType("attachment", map[string]string{"filename": ascii}) +
		"; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// describeDownload says in the description what a download answers.
func (a *API) describeDownload(path string) {
	op := a.huma.OpenAPI().Paths[path].Get
	op.Responses["200"] = &huma.Response{
		Description: "The document, as a file to be saved.",
		Content: map[string]*huma.MediaType{"application/octet-stream": {
			Schema: &huma.Schema{Type: "string", Format: "binary"}}},
	}
}
