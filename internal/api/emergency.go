package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/problem"
	"postern/internal/record/emergency"
	"postern/internal/record/query"
)

// Emergency is an opening of emergency access.
type Emergency struct {
	ID         uuid.UUID  `json:"id"`
	State      string     `json:"state" enum:"open,ended,reviewed" doc:"ended: nothing can be read by it, and no one has reviewed it."`
	StaffID    string     `json:"staff_id" doc:"The person who opened it."`
	MessageID  *uuid.UUID `json:"message_id" doc:"The message whose content it opens; null: the disclosures of a patient."`
	PatientID  *string    `json:"patient_id"`
	Reason     string     `json:"reason"`
	OpenedAt   time.Time  `json:"opened_at"`
	Until      time.Time  `json:"until"`
	EndedBy    *string    `json:"ended_by" doc:"The actor who ended it before its time; null: its time ended it, or nothing has yet."`
	EndedAt    *time.Time `json:"ended_at"`
	ReviewedBy *string    `json:"reviewed_by"`
	ReviewedAt *time.Time `json:"reviewed_at"`
	Note       *string    `json:"note" doc:"What the reviewer found."`
	Reads      int        `json:"reads" doc:"How often something was shown by it."`
}

func emergencyOf(o emergency.Opening) Emergency {
	return Emergency{o.ID, string(o.State), o.StaffID, o.MessageID, o.PatientID, o.Reason, o.OpenedAt.UTC(), o.Until.UTC(),
		o.EndedBy, inUTC(o.EndedAt), o.ReviewedBy, inUTC(o.ReviewedAt), o.Note, o.Reads}
}

func inUTC(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC()
	return &utc
}

// EmergencyReading is something that was shown by emergency access.
type EmergencyReading struct {
	Seq          uint64     `json:"seq" doc:"The event, before which nothing was shown."`
	What         string     `json:"what" enum:"content,document,disclosures"`
	AttachmentID *uuid.UUID `json:"attachment_id"`
	At           time.Time  `json:"at"`
}

// EmergencyDetail is an opening with what was shown by it.
type EmergencyDetail struct {
	Emergency
	Readings []EmergencyReading `json:"readings" nullable:"false"`
}

// EmergencyContent is the content of a message that was opened by emergency access.
type EmergencyContent struct {
	MessageID   uuid.UUID             `json:"message_id"`
	Subject     string                `json:"subject"`
	Body        string                `json:"body"`
	Attachments []EmergencyAttachment `json:"attachments" nullable:"false"`
}

// EmergencyAttachment is a document of such a message.
type EmergencyAttachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	MediaType string    `json:"media_type"`
	Size      int64     `json:"size"`
}

// EmergencyDisclosure is a message that a portal user received about the patient.
type EmergencyDisclosure struct {
	MessageID    uuid.UUID  `json:"message_id"`
	PortalUserID string     `json:"portal_user_id"`
	DeliveredAt  time.Time  `json:"delivered_at"`
	OpenedAt     *time.Time `json:"opened_at"`
	RecalledAt   *time.Time `json:"recalled_at"`
}

type openEmergency struct {
	Body struct {
		MessageID *string `json:"message_id,omitempty" format:"uuid" doc:"The message whose content you need."`
		PatientID *string `json:"patient_id,omitempty" maxLength:"64" doc:"Or the patient whose disclosures you need."`
		Reason    reason  `json:"reason" doc:"Why you need it now. It is recorded word for word."`
	}
}

// EmergencyPath is the path of an opening.
type EmergencyPath struct {
	ID uuid.UUID `path:"id"`
}

type emergencyDocument struct {
	EmergencyPath
	AttachmentID uuid.UUID `path:"attachment_id"`
}

type emergencyReview struct {
	EmergencyPath
	Body struct {
		Note reason `json:"note" doc:"What you found. It is recorded word for word."`
	}
}

// EmergencyOperations open, use and review emergency access.
type EmergencyOperations struct {
	Emergencies *emergency.Emergencies
}

func (g EmergencyOperations) register(a *API) {
	open, either := []policy.Action{policy.OpenEmergency}, []policy.Action{policy.OpenEmergency, policy.ReviewEmergency}
	gone := []int{http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusInternalServerError}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/emergency", id: "list-emergencies", tag: forStaff,
		summary: "Emergency access, newest first: all of it for readers of the record, else your own.",
		actions: []policy.Action{policy.SeeEmergencies},
	}, g.list)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/emergency", id: "open-emergency", tag: forStaff, status: http.StatusCreated,
		summary: "Open the content of one message, or the disclosures of one patient, for an hour. The operation returns after the opening is recorded.",
		actions: open, problems: []int{http.StatusNotFound},
	}, g.open)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/emergency/{id}", id: "get-emergency", tag: forStaff,
		summary: "An opening, and what was shown by it.", actions: either, problems: []int{http.StatusNotFound},
	}, g.get)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/emergency/{id}/content", id: "get-emergency-content", tag: forStaff,
		summary: "The content of the message that you opened. That you read it is recorded first.", actions: open, problems: gone,
	}, g.content)
	const path = "/v1/emergency/{id}/attachments/{attachment_id}"
	handle(a, operation{
		method: http.MethodGet, path: path, id: "get-emergency-attachment", tag: forStaff,
		summary: "A document of the message that you opened. That you read it is recorded first.", actions: open, problems: gone,
	}, func(ctx context.Context, in *emergencyDocument) (*huma.StreamResponse, error) {
		document, data, err := g.Emergencies.Document(ctx, subjectOf(ctx), in.ID, in.AttachmentID)
		if err != nil {
			return nil, err
		}
		return download(document, data), nil
	})
	a.describeDownload(path)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/emergency/{id}/disclosures", id: "get-emergency-disclosures", tag: forStaff,
		summary: "The latest 500 messages sent about the patient that you opened. That you read them is recorded first.", actions: open,
		problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.disclosures)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/emergency/{id}/end", id: "end-emergency", tag: forStaff,
		summary: "End emergency access before its time: your own, or that of another person if you review.", actions: either,
		problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *EmergencyPath) (*body[Emergency], error) {
		o, err := g.Emergencies.End(ctx, subjectOf(ctx), in.ID)
		return answerWith(emergencyOf(o)), err
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/emergency/{id}/review", id: "review-emergency", tag: forStaff,
		summary: "Record that you reviewed emergency access that another person used.", actions: []policy.Action{policy.ReviewEmergency},
		problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *emergencyReview) (*body[Emergency], error) {
		o, err := g.Emergencies.Review(ctx, subjectOf(ctx), in.ID, string(in.Body.Note))
		if invalid := new(compose.Invalid); errors.As(err, &invalid) {
			return nil, problem.Invalid("body.note", "%s", invalid.Faults[0].Message)
		}
		return answerWith(emergencyOf(o)), err
	})
}

func (g EmergencyOperations) list(ctx context.Context, in *Page) (*body[List[Emergency]], error) {
	before, err := in.fromSequence()
	if err != nil {
		return nil, err
	}
	me := subjectOf(ctx)
	whose := me.ID
	if emergency.Reviews(me) {
		whose = ""
	}
	found, err := g.Emergencies.List(ctx, whose, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, emergencyOf, func(o emergency.Opening) string { return cursorOfSequence(o.Seq) })), nil
}

func (g EmergencyOperations) open(ctx context.Context, in *openEmergency) (*body[Emergency], error) {
	var of emergency.Of
	if (in.Body.MessageID == nil) == (in.Body.PatientID == nil) {
		return nil, problem.Invalid("body", "must have a message_id or a patient_id, and not both")
	}
	if in.Body.PatientID != nil {
		of.PatientID = *in.Body.PatientID
	} else {
		var err error
		if of.MessageID, err = uuid.Parse(*in.Body.MessageID); err != nil || of.MessageID == uuid.Nil {
			return nil, problem.Invalid("body.message_id", "is not the id of a message")
		}
	}
	o, err := g.Emergencies.Open(ctx, subjectOf(ctx), of, string(in.Body.Reason))
	return answerWith(emergencyOf(o)), err
}

func (g EmergencyOperations) get(ctx context.Context, in *EmergencyPath) (*body[EmergencyDetail], error) {
	o, err := g.Emergencies.Visible(ctx, subjectOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	readings, err := g.Emergencies.Readings(ctx, in.ID)
	out := EmergencyDetail{emergencyOf(o), make([]EmergencyReading, len(readings))}
	for i, r := range readings {
		out.Readings[i] = EmergencyReading{r.Seq, string(r.What), r.AttachmentID, r.At.UTC()}
	}
	return answerWith(out), err
}

func (g EmergencyOperations) content(ctx context.Context, in *EmergencyPath) (*body[EmergencyContent], error) {
	me := subjectOf(ctx)
	h, text, err := g.Emergencies.Content(ctx, me, in.ID)
	if err != nil {
		return nil, err
	}
	o, err := g.Emergencies.Find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := EmergencyContent{*o.MessageID, h.Subject, text, make([]EmergencyAttachment, len(h.Attachments))}
	for i, d := range h.Attachments {
		out.Attachments[i] = EmergencyAttachment{d.ID, d.Name, d.MediaType, d.Size}
	}
	return answerWith(out), nil
}

func (g EmergencyOperations) disclosures(ctx context.Context, in *EmergencyPath) (*body[List[EmergencyDisclosure]], error) {
	found, _, err := g.Emergencies.Disclosures(ctx, subjectOf(ctx), in.ID, query.DisclosureCursor{}, 500)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, 500, func(d query.Disclosure) EmergencyDisclosure {
		return EmergencyDisclosure{d.MessageID, d.PortalUserID, d.DeliveredAt.UTC(), inUTC(d.OpenedAt), inUTC(d.RecalledAt)}
	}, func(query.Disclosure) string { return "" })), nil
}
