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
	Alert        Alert      `json:"alert"`
	OpenedAt     *time.Time `json:"opened_at"`
}

// Alert is the status of the e-mail that tells the portal user about a new message.
type Alert struct {
	State    string     `json:"state" enum:"pending,accepted,failed,skipped,unknown"`
	Reason   string     `json:"reason" doc:"The reason, if it was not accepted."`
	At       *time.Time `json:"at"`
	Attempts int        `json:"attempts"`
}

func deliveryOf(d messages.Delivery) Delivery {
	return Delivery{PortalUserID: d.PortalUserID, Name: d.Name, DeliveredAt: d.DeliveredAt, OpenedAt: d.OpenedAt,
		Alert: Alert{State: d.AlertState, Reason: d.AlertReason, At: d.AlertAt, Attempts: d.Attempts}}
}

type deliveriesInput struct {
	MessagePath
	Page
	Alert  string `query:"alert" enum:"pending,accepted,failed,skipped,unknown" doc:"Only deliveries whose alert is in this state."`
	Opened string `query:"opened" enum:"true,false" doc:"Only deliveries that were opened, or only those that were not."`
}

func (g MessageOperations) deliveries(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/messages/{id}/deliveries", id: "list-deliveries", tag: forStaff,
		summary: "The recipients of a message, whether they were alerted, and whether they opened it.",
		actions: mayTrack, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *deliveriesInput) (*body[List[Delivery]], error) {
		after, err := in.fromNumber()
		if err != nil {
			return nil, err
		}
		m, err := g.Messages.Visible(ctx, subjectOf(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		filter := messages.Filter{Alert: events.AlertState(in.Alert)}
		if in.Opened != "" {
			opened := in.Opened == "true"
			filter.Opened = &opened
		}
		found, err := g.Messages.Deliveries(ctx, m.ID, filter, after, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return answerWith(page(found, in.Limit, deliveryOf,
			func(d messages.Delivery) string { return cursorOfNumber(d.PortalUserNo) })), nil
	})
}
