package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/inbox/delivered"
	"postern/internal/record/person"
	"postern/internal/record/query"
)

// PersonDelivery is a message that was or might have been sent to one portal user.
type PersonDelivery struct {
	MessageID   uuid.UUID  `json:"message_id" format:"uuid" doc:"The message." example:"0197aaaa-0000-7000-8000-000000000001"`
	Subject     *string    `json:"subject" doc:"The subject, for the sender, a Staff Bcc and readers of the record; null for others and if the content is not kept." example:"Your next appointment"`
	SenderID    string     `json:"sender_id" doc:"The staff id of the sender." example:"4c4a7f5e-3a1c-4ed5-9c3e-7f1c2c0b9a11"`
	Sender      string     `json:"sender" doc:"The sender's name." example:"Wendy Writer"`
	Groups      []string   `json:"groups" nullable:"false" doc:"The groups to which the message was sent; empty if its recipients were chosen one by one." example:"[\"active_patients\"]"`
	Status      string     `json:"status" enum:"scheduled,sending,sent,cancelled,recalled" doc:"The status of the message." example:"sent"`
	SentAt      time.Time  `json:"sent_at" doc:"When the sender sent it." example:"2026-01-31T09:30:00Z"`
	CancelledAt *time.Time `json:"cancelled_at" doc:"When it was cancelled; null if it was not." example:"2026-01-31T09:30:05Z"`
	RecalledAt  *time.Time `json:"recalled_at" doc:"When it was recalled; null if it was not. From then on it can't be opened." example:"2026-02-01T08:00:00Z"`
	DeliveredAt *time.Time `json:"delivered_at" doc:"Since when it is in their inbox; null if it was not sent to them." example:"2026-01-31T09:30:01Z"`
	ReadableAt  *time.Time `json:"readable_at" doc:"Since when the portal user can read it: delivered_at, or when they first set a password if they had no e-mail address then; null: not yet." example:"2026-01-31T09:30:01Z"`
	DeliverySeq uint64     `json:"delivery_seq,omitempty" doc:"The sequence in the record of the event that delivered it." example:"1207"`
	Alert       *Alert     `json:"alert,omitempty" doc:"The e-mail about it; absent if it was not sent to them."`
	OpenedAt    *time.Time `json:"opened_at" doc:"When the portal user first opened it; null if they have not." example:"2026-01-31T18:02:11Z"`
	Downloads   []Download `json:"downloads" nullable:"false" doc:"The portal user's downloads of its documents, the oldest first: at most a hundred, the newest."`
	About       []string   `json:"about" nullable:"false" doc:"The ids of the patients whom the message to this portal user concerns; empty if it was not sent to them." example:"[\"pt-17\"]"`
	AboutBasis  string     `json:"about_basis,omitempty" enum:"picked,group,not_stated,no_patient,missing" doc:"How that is known, as in the deliveries of a message; absent if it was not sent to them." example:"picked"`
	NotSent     *NotSent   `json:"not_sent,omitempty" doc:"Why it was not sent to them; absent if it was."`
}

// Download is one download of a document by a portal user.
type Download struct {
	AttachmentID uuid.UUID `json:"attachment_id" format:"uuid" doc:"The document." example:"0197aaaa-0000-7000-8000-000000000002"`
	Number       int       `json:"number" doc:"The number of the document in its message, from 1 on." example:"1"`
	Name         *string   `json:"name" doc:"The file name, for the sender and a Staff Bcc; null for others and if the content is not kept." example:"plan.pdf"`
	DownloadedAt time.Time `json:"downloaded_at" doc:"When it was downloaded." example:"2026-01-31T18:03:40Z"`
	Seq          uint64    `json:"seq" doc:"The sequence of the event in the record." example:"1311"`
}

// NotSent says why a message is not in a portal user's inbox.
type NotSent struct {
	Reason   string   `json:"reason" doc:"not_yet, cancelled or recalled; or, of a message to groups, the reason of the audience: account_inactive, deceased, link_ended, link_not_begun, in_no_group, not_in_directory and others." example:"link_ended"`
	Words    string   `json:"words" doc:"The reason in words." example:"the link to the patient had ended"`
	Patients []string `json:"patients" nullable:"false" doc:"The ids of the patients whose links are the reason." example:"[\"pt-17\"]"`
}

func personDeliveryOf(m person.Sent) PersonDelivery {
	d := PersonDelivery{MessageID: m.MessageID, SenderID: m.SenderID, Sender: m.Sender, Groups: append([]string{}, m.Groups...), Status: string(m.Status),
		SentAt: m.SentAt, CancelledAt: m.CancelledAt, RecalledAt: m.RecalledAt, Downloads: []Download{}, About: []string{}}
	if m.Subject != "" {
		d.Subject = &m.Subject
	}
	if n := m.NotSent; n != nil {
		d.NotSent = &NotSent{Reason: n.Reason(), Words: delivered.Plain(n.Words()), Patients: []string{}}
		if n.Why != nil {
			d.NotSent.Patients = append(d.NotSent.Patients, n.Why.Patients...)
		}
		return d
	}
	got := m.Delivery
	d.DeliveredAt, d.ReadableAt, d.DeliverySeq, d.OpenedAt = &got.DeliveredAt, got.ReadableAt, got.Seq, got.OpenedAt
	d.About, d.AboutBasis = got.Matter.IDs(), got.Matter.Basis.Known()
	d.Alert = &Alert{State: string(got.AlertState), Reason: got.AlertReason, At: got.AlertAt, Attempts: got.Attempts}
	for _, one := range got.Downloads {
		download := Download{AttachmentID: one.AttachmentID, Number: one.Number, DownloadedAt: one.At, Seq: one.Seq}
		if name, has := m.Names[one.AttachmentID]; has {
			download.Name = &name
		}
		d.Downloads = append(d.Downloads, download)
	}
	return d
}

type personInput struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9._-]{1,64}$" patternDescription:"a portal user's id" doc:"The portal user's id." example:"pu-17"`
	Page
	Show string `query:"show" enum:"sent,not_opened,not_sent,all" default:"sent" doc:"sent: what was sent to them. not_opened: of that, what they have not opened. not_sent: what they did not get, of messages to groups and of those that were cancelled, recalled or not sent out yet. all: everything."`
	From string `query:"from" format:"date-time" doc:"Only messages sent at or after this time." example:"2026-01-01T00:00:00Z"`
	To   string `query:"to" format:"date-time" doc:"Only messages sent before this time." example:"2026-02-01T00:00:00Z"`
}

// PersonOperations read what was sent to a portal user.
type PersonOperations struct {
	People *person.Reader
}

// register registers the list of what was sent to a portal user.
func (g PersonOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal-users/{id}/deliveries", id: "list-deliveries-to-portal-user", tag: forStaff,
		summary: "Everything sent to a portal user, newest first, without content. Reading it is recorded.",
		actions: person.May, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *personInput) (*body[List[PersonDelivery]], error) {
		before, err := in.fromID()
		if err != nil {
			return nil, err
		}
		period, err := RecordFilter{From: in.From, To: in.To}.filter()
		if err != nil {
			return nil, err
		}
		f := person.Filter{PortalUserID: in.ID, Show: query.Show(in.Show), From: period.From, To: period.To}
		found, more, err := g.People.Sent(ctx, subjectOf(ctx), f, before, in.Limit)
		if err != nil {
			return nil, err
		}
		l := List[PersonDelivery]{Items: make([]PersonDelivery, len(found))}
		for i, m := range found {
			l.Items[i] = personDeliveryOf(m)
		}
		if more {
			next := cursorOfID(found[len(found)-1].MessageID)
			l.NextCursor = &next
		}
		return answerWith(l), nil
	})
}
