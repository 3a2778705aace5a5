package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/record/export"
	"postern/internal/record/query"
)

// exportWriteTimeout is how long a client may take to read some tens of kilobytes of an
// export.
const exportWriteTimeout = time.Minute

// RecordManifest describes an export: the filter, the size, and the digest of the file.
type RecordManifest struct {
	Export     uuid.UUID           `json:"export" format:"uuid"`
	Format     string              `json:"format" enum:"csv,ndjson,fhir"`
	Filter     events.RecordFilter `json:"filter"`
	Through    uint64              `json:"through" doc:"The sequence of the last event that the export checked."`
	Events     int                 `json:"events" doc:"The number of events that match the filter."`
	Rows       int                 `json:"rows" doc:"The number of lines of data, or of resources, in the file."`
	Bytes      int64               `json:"bytes"`
	Digest     string              `json:"digest" doc:"SHA-256 of the file."`
	Checkpoint string              `json:"checkpoint" doc:"The latest signed checkpoint when the export ended; empty if there was none."`
	Covers     uint64              `json:"covers" doc:"The number of events that the checkpoint proves."`
	Seq        uint64              `json:"seq" doc:"The sequence of the manifest's event, record.exported."`
	By         string              `json:"by"`
	At         time.Time           `json:"at"`
	Proof      string              `json:"proof" doc:"The first signed checkpoint that covers all of the export and this manifest; empty until it is signed, which is within ten seconds."`
}

func manifestOf(m query.Manifest) RecordManifest {
	return RecordManifest{Export: m.Export, Format: m.Format, Filter: m.Filter, Through: m.Through, Events: m.Events, Rows: m.Rows,
		Bytes: m.Bytes, Digest: m.Digest, Checkpoint: m.Checkpoint, Covers: m.Covers, Seq: m.Seq, By: m.By, At: m.At, Proof: m.Proof}
}

func (g RecordOperations) exports(a *API) {
	for _, f := range []struct {
		path, id, what string
		format         export.Format
	}{
		{"/v1/record.csv", "export-record-csv", "rows for a spreadsheet (CSV, RFC 4180)", export.CSV},
		{"/v1/record.ndjson", "export-record-ndjson", "the events as they are stored, one a line", export.NDJSON},
		{"/v1/record.fhir.ndjson", "export-record-fhir", "FHIR R4, one resource a line: a Communication for each delivery, an AuditEvent for each access", export.FHIR},
	} {
		handle(a, operation{
			method: http.MethodGet, path: f.path, id: f.id, tag: forStaff,
			summary: "All events that match the filter, in the order of the record, as " + f.what + ". The Link header gives the manifest.",
			actions: mayReadTheRecord,
		}, func(ctx context.Context, in *RecordFilter) (*huma.StreamResponse, error) {
			filter, err := in.filter()
			if err != nil {
				return nil, err
			}
			begun, err := g.Exporter.Start(ctx, readerOf(ctx), filter, f.format)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				_, w := humago.Unwrap(hc)
				g.sendExport(hc.Context(), a, w, begun)
			}}, nil
		})
		a.huma.OpenAPI().Paths[f.path].Get.Responses["200"] = &huma.Response{
			Description: "The file. The trailer Repr-Digest has the SHA-256 of the complete file.",
			Content:     map[string]*huma.MediaType{f.format.MediaType(): {Schema: &huma.Schema{Type: "string"}}},
		}
	}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record/exports/{id}", id: "get-record-export", tag: forStaff,
		summary: "The manifest of a completed export.", actions: mayReadTheRecord, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		ID uuid.UUID `path:"id" format:"uuid"`
	}) (*body[RecordManifest], error) {
		m, err := g.Record.Manifest(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return answerWith(manifestOf(m)), nil
	})
}

// sendExport writes an export to a client. An error aborts the response, so that a partial
// file can't be mistaken for a complete one. If the client disconnects, the export stops.
func (g RecordOperations) sendExport(ctx context.Context, a *API, w http.ResponseWriter, begun *export.Started) {
	h := w.Header()
	h.Set("Content-Type", begun.Format.MediaType())
	h.Set("Content-Disposition", `attachment; filename="`+begun.Format.FileName()+`"`)
	h.Set("Link", "</v1/record/exports/"+begun.ID.String()+`>; rel="describedby"`)
	h.Set("Trailer", "Repr-Digest") // RFC 9530
	m, err := begun.Write(ctx, &exportWriter{w: w, control: http.NewResponseController(w), checked: time.Now(),
		authorize: func() error { _, err := stillAllowed(ctx, mayReadTheRecord); return err }})
	if err != nil {
		if ctx.Err() == nil {
			a.cfg.Logger.WarnContext(ctx, "an export was aborted", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	g.Await(ctx, m.Seq)
	digest, err := hex.DecodeString(strings.TrimPrefix(m.Digest, "sha256:"))
	if err != nil {
		panic(err) // the digest is always hexadecimal
	}
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
}

// exportWriter extends the write deadline for each part of an export, because the server's
// own deadline is for short answers. It stops a long export when the client's permission or
// session ends.
type exportWriter struct {
	w         http.ResponseWriter
	control   *http.ResponseController
	authorize func() error
	checked   time.Time // when authorize was called last
}

func (e *exportWriter) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(e.checked) > streamHeartbeat {
		if e.checked = now; e.authorize() != nil {
			return 0, errors.New("the reader may not read the record any more")
		}
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(exportWriteTimeout))
	return e.w.Write(b)
}
