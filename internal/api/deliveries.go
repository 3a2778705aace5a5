package api

import (
	"context"
	"net/http"
	"time"

	"postern/internal/events"
	"postern/internal/messages"
)

// Delivery is one message in one portal user's inbox.
type Delivery struct {
	PortalUserID string     `json:"portal_user_id"`
	Name         string     `json:"name"`
	DeliveredAt  time.Time  `json:"delivered_at"`
	ReadableAt   *time.Time `json:"readable_at"`
	Alert        Alert      `json:"alert"`
	OpenedAt     *time.Time `json:"opened_at"`
}

// MessageDelivery is a delivery of one message, with whom it concerns.
type MessageDelivery struct {
	Delivery
	About      []string `json:"about" nullable:"false" doc:"The ids of the patients whom the message to this recipient concerns."`
	AboutBasis string   `json:"about_basis" enum:"picked,group,not_stated,no_patient,missing" doc:"How that is known. picked: the sender picked them, or the recipient had one patient. group: their links brought the recipient into a group. not_stated: the message does not state it, and they are all patients of the recipient at that time. no_patient: the recipient had none. missing: what the directory said then is missing."`
	LinkEnded  bool     `json:"link_ended" doc:"Whether the links of the recipient to all these patients had ended before a scheduled message was delivered. The recipient can't read it unless such a link is in force again." example:"false"`
}

// Alert is the status of the e-mail that tells the portal user about a new message.
type Alert struct {
	State    string     `json:"state" enum:"pending,accepted,failed,skipped,unknown"`
	Reason   string     `json:"reason" doc:"The reason, if it was not accepted."`
	At       *time.Time `json:"at"`
	Attempts int        `json:"attempts"`
}

func messageDeliveryOf(d messages.Delivery, c messages.Concerned) MessageDelivery {
	about := make([]string, len(c.Patients))
	for i, p := range c.Patients {
		about[i] = p.ID
	}
	return MessageDelivery{deliveryOf(d), about, c.Basis.Known(), c.Ended}
}

func deliveryOf(d messages.Delivery) Delivery {
	return Delivery{PortalUserID: d.PortalUserID, Name: d.Name, DeliveredAt: d.DeliveredAt, ReadableAt: d.ReadableAt, OpenedAt: d.OpenedAt,
		Alert: Alert{State: d.AlertState, Reason: d.AlertReason, At: d.AlertAt, Attempts: d.Attempts}}
}

type deliveriesInput struct {
	MessagePath
	Page
	Q      string `query:"q" maxLength:"200" doc:"Only deliveries to recipients whose name has words that begin with these. It looks at a few thousand deliveries."`
	Alert  string `query:"alert" enum:"pending,accepted,failed,skipped,unknown,no_address" doc:"Only deliveries whose alert is in this state. no_address: it was skipped because the portal user has no e-mail address."`
	Opened string `query:"opened" enum:"true,false" doc:"Only deliveries that were opened, or only those that were not."`
}

func (g MessageOperations) deliveries(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/messages/{id}/deliveries", id: "list-deliveries", tag: forStaff,
		summary: "The recipients of a message, whether they were alerted, and whether they opened it.",
		actions: mayTrack, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *deliveriesInput) (*body[List[MessageDelivery]], error) {
		after, err := in.fromNumber()
		if err != nil {
			return nil, err
		}
		m, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		found, err := g.Messages.Recipients(ctx, m, in.filter(), in.Q, after, in.Limit)
		if err != nil {
			return nil, err
		}
		concerned, err := g.Messages.Concerned(ctx, m.ID, found.Deliveries)
		if err != nil {
			return nil, err
		}
		l := List[MessageDelivery]{Items: make([]MessageDelivery, len(found.Deliveries))}
		for i, d := range found.Deliveries {
			l.Items[i] = messageDeliveryOf(d, concerned[d.PortalUserNo])
		}
		if found.Next > 0 {
			next := cursorOfNumber(found.Next)
			l.NextCursor = &next
		}
		return answerWith(l), nil
	})
}

func (in deliveriesInput) filter() messages.Filter {
	f := messages.Filter{Alert: events.AlertState(in.Alert)}
	if in.Alert == "no_address" {
		f = messages.NoAddress
	}
	if in.Opened != "" {
		opened := in.Opened == "true"
		f.Opened = &opened
	}
	return f

}
