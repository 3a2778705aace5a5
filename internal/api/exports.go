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

// RecordManifest is what an export is: what was asked for, how much it is, and which
// file.
type RecordManifest struct {
	Export     uuid.UUID           `json:"export" format:"uuid"`
	Format     string              `json:"format" enum:"csv,ndjson,fhir"`
	Filter     events.RecordFilter `json:"filter"`
	Through    uint64              `json:"through" doc:"The last event that was looked at."`
	Events     int                 `json:"events" doc:"How many events the filter chose."`
	Rows       int                 `json:"rows" doc:"How many lines of data, or resources, the file has."`
	Bytes      int64               `json:"bytes"`
	Digest     string              `json:"digest" doc:"SHA-256 of the file."`
	Checkpoint string              `json:"checkpoint" doc:"The latest signed checkpoint when the export ended; empty where there was none."`
	Covers     uint64              `json:"covers" doc:"How many events that checkpoint proves."`
	Seq        uint64              `json:"seq" doc:"Where the manifest stands on the record, as record.exported."`
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
		{"/v1/record.fhir.ndjson", "export-record-fhir", "FHIR R4, one resource a line: a Communication a delivery, an AuditEvent an access", export.FHIR},
	} {
		handle(a, operation{
			method: http.MethodGet, path: f.path, id: f.id, tag: forStaff,
			summary: "All events that the filter chooses, in the order of the record, as " + f.what + ". Its manifest is linked to.",
			actions: mayReadTheRecord,
		}, func(ctx context.Context, in *RecordFilter) (*huma.StreamResponse, error) {
			filter, err := in.filter()
			if err != nil {
				return nil, err
			}
			begun, err := g.Exporter.Begin(ctx, readerOf(ctx), filter, f.format)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				_, w := humago.Unwrap(hc)
				g.sendExport(hc.Context(), a, w, begun)
			}}, nil
		})
		a.huma.OpenAPI().Paths[f.path].Get.Responses["200"] = &huma.Response{
			Description: "The file. The trailer Repr-Digest tells its SHA-256 once it is whole.",
			Content:     map[string]*huma.MediaType{f.format.MediaType(): {Schema: &huma.Schema{Type: "string"}}},
		}
	}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record/exports/{id}", id: "get-record-export", tag: forStaff,
		summary: "The manifest of an export that came to its end.", actions: mayReadTheRecord, problems: []int{http.StatusNotFound},
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

// sendExport writes an export to a client. What goes wrong on the way breaks the answer
// off, so that a part can't be taken for the whole; a client that goes away ends the
// reading with its request.
func (g RecordOperations) sendExport(ctx context.Context, a *API, w http.ResponseWriter, begun *export.Begun) {
	h := w.Header()
	h.Set("Content-Type", begun.Format.MediaType())
	h.Set("Content-Disposition", `attachment; filename="`+begun.Format.FileName()+`"`)
	h.Set("Link", "</v1/record/exports/"+begun.ID.String()+`>; rel="describedby"`)
	h.Set("Trailer", "Repr-Digest") // RFC 9530
	m, err := begun.Write(ctx, &patientWriter{w: w, control: http.NewResponseController(w), asked: time.Now(),
		still: func() error { _, err := stillAllowed(ctx, mayReadTheRecord); return err }})
	if err != nil {
		if ctx.Err() == nil {
			a.cfg.Logger.WarnContext(ctx, "an export was broken off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	g.Await(ctx, m.Seq)
	digest, err := hex.DecodeString(strings.TrimPrefix(m.Digest, "sha256:"))
	if err != nil {
		panic(err) // it was made in hex
	}
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
}

// patientWriter gives a client its time for each part that it is sent: the server's own
// limit is for answers that are made at once. An export that takes long ends with the
// permission or the session of who asked for it.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	still   func() error
	asked   time.Time
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.asked) > streamBeat {
		if p.asked = now; p.still() != nil {
			return 0, errors.New("the reader may not read the record any more")
		}
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(exportWriteTimeout))
	return p.w.Write(b)
}
