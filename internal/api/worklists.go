package api

import (
	"context"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
)

// UnreadDelivery is a delivery that its recipient has not opened.
type UnreadDelivery struct {
	MessageID uuid.UUID `json:"message_id" format:"uuid"`
	Subject   string    `json:"subject" doc:"Empty if the content is not kept."`
	Delivery
}

// Unreachable is an active portal user without a working e-mail address.
type Unreachable struct {
	PortalUserID string     `json:"portal_user_id"`
	Name         string     `json:"name" doc:"The name of the portal user."`
	Since        *time.Time `json:"since" doc:"Since when the address does not work; null: the directory has none."`
	Reason       string     `json:"reason" doc:"SendGrid's reason why the address does not work; empty if there is none."`
	SignsInSince *time.Time `json:"signs_in_since" doc:"When their first password was set; null: they can't sign in yet. Make a letter."`
	LetterUntil  *time.Time `json:"letter_until" doc:"When the code of their letter expires; null: they have none that works."`
}

func unreachableOf(n messages.NoEmail) Unreachable {
	return Unreachable{n.PortalUserID, n.Name, n.Since, n.Said, n.SignsInSince, n.LetterUntil}
}

type unreadInput struct {
	Page
	Days int `query:"days" minimum:"0" maximum:"3650" default:"7" doc:"Only deliveries that are older than these days."`
}

// worklists registers the lists of what staff should look after.
func (g MessageOperations) worklists(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/worklists/unread", id: "list-unread", tag: forStaff,
		summary: "Deliveries of my messages that were not opened, the latest messages first. A page may have fewer items than its limit and still have a next page.",
		actions: []policy.Action{policy.SeeMessages},
	}, g.unread)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/worklists/no-email", id: "list-no-email", tag: forStaff,
		summary: "Active portal users without a working e-mail address.",
		actions: []policy.Action{policy.SendMessage, policy.SeeDirectory},
	}, func(ctx context.Context, in *Page) (*body[List[Unreachable]], error) {
		after, err := in.fromNumber()
		if err != nil {
			return nil, err
		}
		found, err := g.Messages.WithoutEmail(ctx, after, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return answerWith(page(found, in.Limit, unreachableOf, func(n messages.NoEmail) string { return cursorOfNumber(n.PortalUserNo) })), nil
	})
}

func (g MessageOperations) unread(ctx context.Context, in *unreadInput) (*body[List[UnreadDelivery]], error) {
	from, err := in.fromDelivery()
	if err != nil {
		return nil, err
	}
	before := g.Now().Add(-time.Duration(in.Days) * 24 * time.Hour)
	found, next, err := g.Messages.Unread(ctx, subjectOf(ctx), before, from, in.Limit)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(found))
	for i, u := range found {
		ids[i] = u.MessageID
	}
	headers, err := g.Reader.Headers(ctx, ids)
	if err != nil {
		return nil, err
	}
	l := List[UnreadDelivery]{Items: make([]UnreadDelivery, len(found))}
	for i, u := range found {
		l.Items[i] = UnreadDelivery{u.MessageID, headers[u.MessageID].Subject, deliveryOf(u.Delivery)}
	}
	if next != nil {
		raw := binary.BigEndian.AppendUint32(next.Message[:], uint32(next.After)) // #nosec G115 -- the same bits
		cursor := cursors.EncodeToString(raw)
		l.NextCursor = &cursor
	}
	return answerWith(l), nil
}

// fromDelivery returns the delivery to continue from. Without a cursor it is the beginning.
func (p Page) fromDelivery() (messages.Cursor, error) {
	if p.Cursor == "" {
		return messages.Cursor{}, nil
	}
	raw, err := cursors.DecodeString(p.Cursor)
	const number = len(uuid.UUID{})
	if err != nil || len(raw) != number+4 || raw[number] > 127 {
		return messages.Cursor{}, errCursor
	}
	after := int32(binary.BigEndian.Uint32(raw[number:])) // #nosec G115 -- its first bit is 0
	return messages.Cursor{Message: uuid.UUID(raw[:number]), After: after}, nil
}
