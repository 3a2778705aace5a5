package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/limits"
	"postern/internal/problem"
)

// guide is the beginning of the description, in Markdown: how to sign in, page and so on.
//
//go:embed guide.md
var guide string

const (
	problemJSON = "application/problem+json"
	plainUTF8   = "text/plain; charset=utf-8"
)

// describe completes the description of the API: texts, examples, topics, shared answers. Call it
// once all operations are registered. What it changes is not used to validate requests.
func (a *API) describe() {
	d := a.huma.OpenAPI()
	d.Info.Description = guide + kindsTable()
	d.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	d.Servers = []*huma.Server{{URL: "/", Description: "This clinic"}}
	for name, s := range d.Components.Schemas.Map() {
		describeSchema(name, s)
		describeLimitsOf(s)
	}
	a.shareProblems()
	seen := map[string]bool{}
	for _, t := range topics {
		if !seen[t.name] {
			seen[t.name] = true
			d.Tags = append(d.Tags, &huma.Tag{Name: t.name, Description: topicDocs[t.name]})
		}
	}
	for _, op := range a.operations() {
		a.describeOperation(op)
	}
}

// kindsTable lists all kinds of problems in Markdown.
func kindsTable() string {
	var b strings.Builder
	b.WriteString("\n| type | status | title | what to do |\n|---|---|---|---|\n")
	for _, k := range problem.Kinds() {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", k.Type(), k.Status, k.Title, k.Advice())
	}
	return b.String()
}

func (a *API) describeOperation(op *huma.Operation) {
	t, ok := topicOf(op.Path)
	if ok {
		op.Tags = []string{t.name}
	}
	// The summary is the heading, so it is the first sentence alone.
	if first, rest, more := strings.Cut(op.Summary, ". "); more && rest != "" {
		op.Summary = first + "."
		op.Description = strings.TrimSuffix(rest+"\n\n"+op.Description, "\n\n")
	}
	if op.Security == nil {
		op.Security = []map[string][]string{}
	}
	for _, p := range op.Parameters {
		describeParameter(p, t)
	}
	if op.RequestBody != nil {
		if op.RequestBody.Description == "" {
			op.RequestBody.Description = "The request."
		}
		a.addExamples(op.OperationID+"-request", op.RequestBody.Content)
	}
	for status, r := range op.Responses {
		if code, err := strconv.Atoi(status); err == nil && code >= http.StatusBadRequest {
			op.Responses[status] = &huma.Response{Ref: "#/components/responses/" + problemName(code)}
			continue
		}
		if r.Description == "" || r.Description == http.StatusText(op.DefaultStatus) || r.Description == "OK" {
			r.Description = successes[status]
		}
		asText(op.OperationID, r)
		a.addExamples(op.OperationID, r.Content)
	}
}

// successes describe the answers without an error.
var successes = map[string]string{
	"200": "It is done, or found.",
	"201": "It is made.",
	"202": "It is accepted and recorded. The rest follows.",
	"204": "It is done. The answer has no body.",
}

func describeParameter(p *huma.Param, t topic) {
	d := described("", p.Name)
	switch {
	case p.Description != "":
	case p.Name == "id" && t.one != "":
		p.Description = "The id of the " + t.one + "."
	default:
		p.Description = d.doc
	}
	p.Description = limits.Fill(p.Description)
	if p.Schema == nil {
		return
	}
	describeLimitsOf(p.Schema)
	p.Schema.Description = ""
	// OpenAPI has no such word: it is for the text of errors.
	p.Schema.PatternDescription = ""
	if p.Example == nil && p.Name != "cursor" && d.example != nil && fits(d.example, p.Schema) {
		p.Example = d.example
	}
}

// asText corrects the answers of plainText, which huma describes as base64 in JSON.
func asText(id string, r *huma.Response) {
	for _, m := range r.Content {
		if m.Schema == nil || m.Schema.ContentEncoding == "" {
			continue
		}
		mediaType, schema := plainUTF8, &huma.Schema{Type: huma.TypeString}
		if _, isReceipt := texts[id].(map[string]any); isReceipt {
			mediaType, schema = "application/json", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true,
				Description: "A receipt: docs/proof.md describes its fields.", Required: []string{"message_id", "portal_user_id"},
				Properties: map[string]*huma.Schema{
					"message_id":     {Type: huma.TypeString, Format: "uuid", Description: "The message that was delivered."},
					"portal_user_id": {Type: huma.TypeString, Description: "The portal user to whom it was delivered."}}}
		}
		r.Content = map[string]*huma.MediaType{mediaType: {Schema: schema}}
		return
	}
}

var exampleReceipt = map[string]any{"message_id": exampleID, "portal_user_id": "denis-schmitt"}

// texts are examples of bodies that have no schema with fields, by operation; those of requests
// end in "-request".
var texts = map[string]any{
	"get-receipt":        exampleReceipt,
	"get-my-receipt":     exampleReceipt,
	"get-checkpoint":     exampleCheckpoint,
	"get-checkpoint-key": "postern.example/record+1a2b3c4d+AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGh\n",
	"stream-progress": "event: progress\ndata: {\"status\":\"sent\",\"recipients\":128,\"delivered\":128,\"alerted\":126," +
		"\"alert_failed\":0,\"alert_skipped\":2,\"alert_unknown\":0,\"opened\":97}\n\n",
	"export-record-csv": "seq,id,type,time,actor,message_id,summary\n4711," + exampleID + ",delivery.opened," + exampleTime +
		",portal_user:denis-schmitt," + exampleOtherID + ",Denis Schmitt opened the message\n",
	"export-record-ndjson": `{"seq":4711,"subject":"record.delivery.opened","data":{"message_id":"` + exampleOtherID + `"}}` + "\n",
	"export-record-fhir":   `{"resourceType":"AuditEvent","recorded":"` + exampleTime + `"}` + "\n",
	"report-alerts-request": []any{map[string]any{"sg_event_id": "ZGVsaXZlcmVkLTAtMTIz", "sg_message_id": "14c5d75ce93.dfd.64b469",
		"event": "delivered", "timestamp": 1772443800, "email": "denis.schmitt@example.test", "response": "250 OK"}},
}

// addExamples adds an example to each body without one.
func (a *API) addExamples(id string, content map[string]*huma.MediaType) {
	for mediaType, m := range content {
		if m.Schema == nil || m.Example != nil || m.Schema.Format == "binary" || strings.HasPrefix(mediaType, "multipart/") {
			continue
		}
		if m.Example = texts[id]; m.Example == nil {
			m.Example = a.exampleOf(m.Schema)
		}
	}
}

func problemName(status int) string { return "Problem" + strconv.Itoa(status) }

// shareProblems describes the answers with an error, one for each status.
func (a *API) shareProblems() {
	d := a.huma.OpenAPI()
	d.Components.Responses = map[string]*huma.Response{}
	for _, op := range a.operations() {
		for status := range op.Responses {
			code, err := strconv.Atoi(status)
			if err != nil || code < http.StatusBadRequest || d.Components.Responses[problemName(code)] != nil {
				continue
			}
			d.Components.Responses[problemName(code)] = problemResponse(code)
		}
	}
}

func problemResponse(status int) *huma.Response {
	examples := map[string]*huma.Example{}
	var names []string
	for _, k := range problem.Kinds() {
		if k.Status != status {
			continue
		}
		names = append(names, "`"+k.Name+"`")
		example := map[string]any{"type": k.Type(), "title": k.Title, "status": k.Status, "detail": k.Advice()}
		if k == problem.InvalidRequest {
			example["detail"] = "body.subject is required and can't be blank"
			example["errors"] = []any{map[string]any{"location": "body.subject", "message": "is required and can't be blank"}}
		}
		examples[k.Name] = &huma.Example{Summary: k.Title, Description: k.Advice(), Value: example}
	}
	r := &huma.Response{
		Description: http.StatusText(status) + ". Kinds: " + strings.Join(names, ", ") + ".",
		Content: map[string]*huma.MediaType{problemJSON: {
			Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}, Examples: examples}},
	}
	if slices.Contains([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}, status) {
		r.Headers = map[string]*huma.Param{"Retry-After": {Description: "After how many seconds to try again.",
			Schema: &huma.Schema{Type: huma.TypeInteger}, Example: json.Number("30")}}
	}
	return r
}
