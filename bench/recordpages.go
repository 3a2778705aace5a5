package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// recordPages are a reviewer's requests to the record.
var recordPages = []pageRequest{
	{name: "Record", path: "/record"},
	{name: "Record: half a year ago", path: "/record?until={until}"},
	{name: "Record: a rare type", path: "/record?type=permission.granted"},
	{name: "Record: no such type", path: "/record?type=message.recalled"},
	{name: "Record: of a process", path: "/v1/record?actor=process:notify-worker"},
	{name: "Record: of a portal user", path: "/v1/record?actor=portal_user:u7"},
	{name: "Record: of staff, one day", path: "/v1/record?actor=staff:reader-2&from={from}T00:00:00Z&to={next}T00:00:00Z"},
	{name: "Record: a type, one day", path: "/v1/record?type=signed_in&from={from}T00:00:00Z&to={next}T00:00:00Z"},
	{name: "Record: a type, of an actor", path: "/v1/record?type=delivery.opened&actor=portal_user:u7"},
	{name: "Record: a type, no match", path: "/v1/record?type=delivery.opened&actor=staff:reader-2"},
	{name: "Record: of a message", path: "/v1/record?message_id={blast}"},
	{name: "Record: of a message, of a process", path: "/v1/record?message_id={blast}&actor=process:fanout-worker"},
	{name: "Record: of a message, of a portal user", path: "/v1/record?message_id={blast}&actor=portal_user:u7"},
	{name: "Record: of a message, its chunks", path: "/v1/record?message_id={blast}&type=deliveries.created"},
	{name: "Record: of a message, never", path: "/v1/record?message_id={blast}&type=message.recalled"},
	{name: "Record: of a message, long ago", path: "/v1/record?message_id={blast}&to={from}T00:00:00Z"},
	{name: "Record: about a portal user", path: "/v1/record?portal_user_id=u7"},
	{name: "Record: about one with a thousand", path: "/v1/record?portal_user_id=u1"},
	{name: "Record: their alerts", path: "/v1/record?portal_user_id=u1&type=alerts.accepted"},
	{name: "Record: about them, of a message", path: "/v1/record?portal_user_id=u1&message_id={blast}"},
	{name: "Record: about them, long ago", path: "/v1/record?portal_user_id=u1&to={from}T00:00:00Z"},
	{name: "Record: about a patient", path: "/v1/record?patient_id=p1"},
	{name: "Record: everything at once", path: "/v1/record?patient_id=p1&portal_user_id=u1&message_id={blast}&type=delivery.opened&actor=portal_user:u1&from={from}T00:00:00Z"},
	{name: "Record: 500 events", path: "/v1/record?limit=500"},
	{name: "Record: half-way", path: "/v1/record?cursor={cursor}"},
	{name: "Record: half-way through a message", path: "/v1/record?message_id={blast}&cursor={blast-cursor}"},
	{name: "Record: half-way, one with a thousand", path: "/v1/record?portal_user_id=u1&cursor={u1-cursor}"},
	{name: "Record: by type", path: "/v1/record?sort=type"},
	{name: "Record: by type, from Z", path: "/v1/record?sort=-type"},
	{name: "Record: by actor", path: "/v1/record?sort=actor"},
	{name: "Record: by actor, from Z", path: "/record?sort=-actor"},
	{name: "Record: by actor, one day", path: "/v1/record?sort=actor&from={from}T00:00:00Z&to={next}T00:00:00Z"},
	{name: "Record: by type, of a message", path: "/v1/record?sort=type&message_id={blast}"},
	{name: "Record: by type, of a person", path: "/v1/record?sort=type&portal_user_id=u1"},
	{name: "An event", path: "/v1/record/{signed-in}"},
	{name: "An event: a chunk", path: "/v1/record/{chunk}"},
	{name: "An event: a page", path: "/record/{signed-in}"},
	{name: "Timeline: of a message", path: "/record/messages/{blast}"},
	{name: "Person", path: "/record/portal-users/u1"},
	{name: "Person: half-way", path: "/record/portal-users/u1?before={half-message}"},
	{name: "Person: long ago", path: "/record/portal-users/u1?until={until}"},
	{name: "Person: not opened", path: "/record/portal-users/u1?show=not_opened"},
	{name: "Person: not sent", path: "/record/portal-users/u1?show=not_sent"},
	{name: "Person: of few messages", path: "/record/portal-users/u7"},
	{name: "Person: 200 messages", path: "/v1/portal-users/u1/deliveries?limit=200"},
	{name: "Disclosures: to a portal user", path: "/record/portal-users/u1/disclosures"},
	{name: "Disclosures: half-way", path: "/record/portal-users/u1/disclosures?before={disclosed}"},
	{name: "Disclosures: about a patient", path: "/record/patients/p1"},
	{name: "State of the record", path: "/record/state", fragment: true},
	{name: "Receipt", path: "/v1/messages/{blast}/deliveries/u7/receipt"},
	{name: "Receipt: a page", path: "/record/receipts/{blast}/u7"},
	{name: "Erasures", path: "/record/erasures"},
	{name: "The latest checkpoint", path: "/v1/record/checkpoint"},
}

// recordNames returns the values for the {…} in recordPages.
func (c *clinic) recordNames(ctx context.Context) ([]string, error) {
	var half uuid.UUID // the middle one of the first portal user's messages
	err := c.conn.QueryRow(ctx, `SELECT message_id FROM record.inbox WHERE block = 0 AND record.has_member(members, 0) ORDER BY message_id OFFSET $1 LIMIT 1`, toOne/2).Scan(&half)
	names := []string{"{disclosed}", half.String() + ".1", "{half-message}", half.String()}
	if err != nil {
		return nil, fmt.Errorf("looking for a message of the first portal user: %w", err)
	}
	for name, where := range map[string]string{
		"cursor":       `time < now() - interval '6 months' ORDER BY time DESC`,
		"blast-cursor": `message_id = '` + c.toAll.String() + `' ORDER BY time DESC OFFSET ` + fmt.Sprint(c.users/10),
		"u1-cursor":    `message_id = '` + half.String() + `' ORDER BY time DESC`,
		"signed-in":    `type = 'signed_in' ORDER BY time DESC OFFSET 1000`,
		"chunk":        `message_id = '` + c.toAll.String() + `' AND type = 'deliveries.created' ORDER BY time`,
	} {
		var at time.Time
		var seq uint64
		if err := c.conn.QueryRow(ctx, `SELECT time, seq FROM record.events WHERE `+where+` LIMIT 1`).Scan(&at, &seq); err != nil {
			return nil, fmt.Errorf("looking for an event for {%s}: %w", name, err)
		}
		value := fmt.Sprint(seq)
		if strings.HasSuffix(name, "cursor") {
			place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), seq) // #nosec G115 -- after 1970
			value = base64.RawURLEncoding.EncodeToString(place)
		}
		names = append(names, "{"+name+"}", value)
	}
	return names, nil
}
