package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/attachment"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/record/accounting"
	"postern/internal/record/bundle"
)

type handOverInput struct {
	MessagePath
	PortalUserID string `path:"portal_user_id" maxLength:"64"`
	Body         struct {
		To      string `json:"to" minLength:"1" maxLength:"200" doc:"The person or organization that gets it. It is recorded word for word."`
		Address string `json:"address,omitempty" maxLength:"500" doc:"Their address, if it is known."`
		Basis   string `json:"basis" enum:"other,patient,authorization,operations" doc:"The ground: other is the only one that the accounting of disclosures must have."`
		Purpose string `json:"purpose" minLength:"1" maxLength:"500" doc:"Why it is disclosed. It is recorded word for word."`
		Content bool   `json:"content,omitempty" doc:"Include the text and the documents. Only the sender and a Staff Bcc can."`
	}
}

// DisclosureOperations hand the evidence of deliveries over, and account for it.
type DisclosureOperations struct {
	Messages *messages.Reader
	Bundles  *bundle.Bundles
	Accounts *accounting.Accounts
	Await    Await
}

func (g DisclosureOperations) register(a *API) {
	const path = "/v1/messages/{id}/deliveries/{portal_user_id}/bundle"
	handle(a, operation{
		method: http.MethodPost, path: path, id: "hand-over-delivery", tag: forStaff,
		summary: "The evidence of one delivery for a person outside the portal, as a ZIP file: certificate, receipt, key, how to check them, and the content where you may read it. The disclosure is recorded before the answer.",
		actions: []policy.Action{policy.ReadTheRecord}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.handOver)
	a.huma.OpenAPI().Paths[path].Post.Responses["200"] = &huma.Response{Description: "The file.",
		Content: map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
	g.accounting(a)
}

type accountingInput struct {
	ID   string `path:"id" pattern:"^[A-Za-z0-9._-]{1,64}$" patternDescription:"a patient's id"`
	From string `query:"from" doc:"The first day, as 2026-01-31. Default: six years before the last, which is the most."`
	To   string `query:"to" doc:"The last day. Default: today."`
}

// Accounting is the accounting of disclosures of one patient (45 CFR 164.528).
type Accounting struct {
	PatientID   string                `json:"patient_id"`
	Name        string                `json:"name" doc:"The patient's name."`
	From        string                `json:"from" format:"date" doc:"The first day, in the clinic's time zone."`
	To          string                `json:"to" format:"date" doc:"The last day."`
	Disclosures []AccountedDisclosure `json:"disclosures" doc:"The newest first."`
}

// AccountedDisclosure is a disclosure in an accounting.
type AccountedDisclosure struct {
	Seq       uint64     `json:"seq" doc:"The sequence of its event."`
	Time      time.Time  `json:"time"`
	To        string     `json:"to" doc:"The name of who received it."`
	Address   string     `json:"address" doc:"Their address; empty if it is not known."`
	What      string     `json:"what" doc:"A brief description of what was disclosed."`
	Purpose   string     `json:"purpose"`
	Exempt    string     `json:"exempt" doc:"Why the accounting need not have it; empty if it must."`
	MessageID *uuid.UUID `json:"message_id" format:"uuid" doc:"The message that it is about; null if there is none."`
}

func accountingOf(s accounting.Statement) Accounting {
	out := Accounting{PatientID: s.PatientID, Name: s.Patient, From: s.First.Format(time.DateOnly), To: s.Last.Format(time.DateOnly),
		Disclosures: make([]AccountedDisclosure, len(s.Rows))}
	for i, r := range s.Rows {
		out.Disclosures[i] = AccountedDisclosure{Seq: r.Seq, Time: r.Time.UTC(), To: r.To, Address: r.Address, What: r.What, Purpose: r.Purpose, Exempt: r.Exempt}
		if r.MessageID != uuid.Nil {
			out.Disclosures[i].MessageID = &s.Rows[i].MessageID
		}
	}
	return out
}

// accounting registers the operations that account for disclosures.
func (g DisclosureOperations) accounting(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/patients/{id}/disclosures", id: "account-for-disclosures", tag: forStaff,
		summary: "The accounting of disclosures of one patient, at most six years. Reading it is recorded.",
		actions: mayReadTheRecord, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *accountingInput) (*body[Accounting], error) {
		s, err := g.statement(ctx, in)
		return answerWith(accountingOf(s)), err
	})
	const file = "/v1/patients/{id}/disclosures.csv"
	handle(a, operation{
		method: http.MethodGet, path: file, id: "account-for-disclosures-csv", tag: forStaff,
		summary: "The accounting of disclosures of one patient as rows for a spreadsheet (CSV, RFC 4180). Reading it is recorded.",
		actions: mayReadTheRecord, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *accountingInput) (*huma.StreamResponse, error) {
		s, err := g.statement(ctx, in)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := s.WriteCSV(&out); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			attachment.Describe(hc.SetHeader, "disclosures-"+s.PatientID+".csv", "text/csv; charset=utf-8; header=present", out.Len())
			hc.SetStatus(http.StatusOK)
			_, _ = hc.BodyWriter().Write(out.Bytes()) // if this fails, the client is gone
		}}, nil
	})
	a.huma.OpenAPI().Paths[file].Get.Responses["200"] = &huma.Response{Description: "The file.",
		Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: "string"}}}}
}

func (g DisclosureOperations) statement(ctx context.Context, in *accountingInput) (accounting.Statement, error) {
	period, err := g.Accounts.Period(in.From, in.To)
	if err != nil {
		return accounting.Statement{}, err
	}
	return g.Accounts.Of(ctx, readerOf(ctx), in.ID, period)
}

func (g DisclosureOperations) handOver(ctx context.Context, in *handOverInput) (*huma.StreamResponse, error) {
	subject := subjectOf(ctx)
	m, err := g.Messages.Visible(ctx, subject, in.ID)
	if err != nil {
		return nil, err
	}
	made, err := g.Bundles.HandOver(ctx, bundle.Request{MessageID: in.ID, PortalUserID: in.PortalUserID, Actor: subject.Actor(), MayRead: m.Role != messages.RoleNone,
		Content: in.Body.Content, To: in.Body.To, Address: in.Body.Address, Basis: events.DisclosureBasis(in.Body.Basis), Purpose: in.Body.Purpose})
	if err != nil {
		return nil, err
	}
	g.Await(ctx, made.Seq)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		attachment.Describe(hc.SetHeader, made.Name, "application/zip", len(made.Data))
		hc.SetStatus(http.StatusOK)
		_, _ = hc.BodyWriter().Write(made.Data) // if this fails, the client is gone
	}}, nil
}
