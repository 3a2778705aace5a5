package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/inbound"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

// Attachment is a document.
type Attachment struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Name      string    `json:"name" doc:"Without paths and control characters. The extension matches the type of the file."`
	Size      int64     `json:"size" doc:"Bytes."`
	MediaType string    `json:"media_type" doc:"As detected from the content of the file."`
	SHA256    string    `json:"sha256,omitempty" doc:"Hexadecimal."`
}

func attachmentOf(a message.Attachment) Attachment {
	return Attachment{ID: a.ID, Name: a.Name, Size: a.Size, MediaType: a.MediaType, SHA256: a.SHA256}
}

// uploadInput is the unparsed request: the form is read here and not by huma, which would
// write files to the disk unencrypted.
type uploadInput struct{ request *http.Request }

// Resolve implements [huma.Resolver].
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

// AttachmentOperations take documents for messages.
type AttachmentOperations struct {
	Composer *compose.Composer
}

func (g AttachmentOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/attachments", id: "upload-attachment", tag: forStaff, status: http.StatusCreated,
		summary: fmt.Sprintf("Upload a document of at most %s (%d bytes), in the form field `file`, to be sent with a message.", limits.AttachmentSize, int64(limits.AttachmentSize)),
		actions: []policy.Action{policy.SendMessage}, raw: true,
		takes: inbound.Body{Types: []string{inbound.Multipart}, MaxBytes: int64(limits.AttachmentSize) + inbound.DefaultBytes, Over: 8 * int64(limits.AttachmentSize), Memory: attachment.MemoryPerUpload, Within: 2 * time.Minute},
		problems: []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity},
	}, g.upload)
	// Described after registration: otherwise huma would read it as JSON.
	a.huma.OpenAPI().Paths["/v1/attachments"].Post.RequestBody = &huma.RequestBody{
		Required: true, Description: "A form with one file.",
		Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: "object", Required: []string{"file"},
			Properties: map[string]*huma.Schema{"file": {Type: "string", Format: "binary", Description: "The document, with its file name."}},
		}}},
	}
}

func (g AttachmentOperations) upload(ctx context.Context, in *uploadInput) (*body[Attachment], error) {
	form, err := in.request.MultipartReader()
	if err != nil {
		return nil, problem.Unsupported.Problem("send the file as multipart/form-data, in the field file", problem.Fault{Location: "header.Content-Type", Message: "is not multipart/form-data with a boundary"})
	}
	part, err := form.NextPart()
	if isEnd(err) {
		return nil, problem.Invalid("body.file", "is required")
	}
	if err != nil {
		return nil, halfForm(err)
	}
	if part.FormName() != "file" {
		return nil, problem.Invalid("body."+cleanField(part.FormName()), "is not known: send one field, file")
	}
	name := part.FileName()
	if !utf8.ValidString(name) {
		return nil, problem.Invalid("body.file", "has a name that is not UTF-8")
	}
	kept, err := g.Composer.Upload(ctx, subjectOf(ctx), name, &wholePart{part: part, form: form})
	if err != nil {
		return nil, err
	}
	return answerWith(attachmentOf(kept)), nil
}

// cleanField returns the name of an unknown form field for use in an error, or "?" if the
// name is not short printable ASCII.
func cleanField(name string) string {
	if name == "" || len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "?"
	}
	return name
}

// halfForm returns the error for a form that ended too early.
func halfForm(err error) error {
	if p := document.OfBody(err); p != nil {
		return p
	}
	return problem.BadRequest.Problem("the upload stopped half-way: nothing was kept, send it again", problem.Fault{Location: "body", Message: "ends before the form does"})
}

// wholePart reads a part. It returns io.EOF only if the form ends after the part, so that
// nothing is kept of an interrupted upload.
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
		return n, problem.Invalid("body", "holds more than one field: send one file at a time")
	default:
		return n, halfForm(err)
	}
}

// isEnd reports whether err is the end of a form. The error of a form without an end wraps
// io.EOF, so errors.Is would not distinguish them.
func isEnd(err error) bool { return err == io.EOF }

// download answers with a document: as a file to be saved, never as a page.
func download(document message.Attachment, data []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		attachment.Describe(ctx.SetHeader, document.Name, document.MediaType, len(data))
		ctx.SetStatus(http.StatusOK)
		_, _ = ctx.BodyWriter().Write(data) // if this fails, the client is gone
	}}
}

// describeDownload adds the response of a download to the API description.
func (a *API) describeDownload(path string) {
	op := a.huma.OpenAPI().Paths[path].Get
	op.Responses["200"] = &huma.Response{
		Description: "The document, as a file to be saved.",
		Content: map[string]*huma.MediaType{"application/octet-stream": {
			Schema: &huma.Schema{Type: "string", Format: "binary"}}},
	}
}
