package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"postern/internal/events"
)

// Events in the record can't be filled in by SQL, so they are sent and published. The
// first patient has an own portal user and a representative, who have received a thousand
// messages. One message goes to all portal users. The rest are people's actions in a year.
const (
	toOne      = 1_000 // messages to the first patient's portal users
	signIns    = 150_000
	failures   = 30_000
	downloads  = 60_000
	privileges = 2_000
	readings   = 10_000
)

// fillSent sends the messages that are in the record.
func (c *clinic) fillSent(ctx context.Context) error {
	err := c.exec(ctx, `INSERT INTO app.links (portal_user_no, patient_no, relationship) VALUES (10, 1, 'representative')`)
	if err != nil {
		return err
	}
	some, sending := errgroup.WithContext(ctx)
	some.SetLimit(8)
	for i := range toOne {
		to := `["u1"]`
		if i%5 == 0 {
			to = `["u1","u10"]`
		}
		some.Go(func() error {
			_, err := c.send(sending, fmt.Sprintf(`{"portal_user_ids":%s,"groups":[]}`, to))
			return err
		})
	}
	if err := some.Wait(); err != nil {
		return err
	}
	if c.toAll, err = c.send(ctx, `{"portal_user_ids":[],"groups":["all_portal_users"]}`); err != nil {
		return err
	}
	for alerted := false; !alerted; time.Sleep(50 * time.Millisecond) {
		err := c.conn.QueryRow(ctx, `SELECT count(*) > 0 FROM record.messages WHERE message_id = $1
			AND alert_accepted + alert_failed + alert_skipped + alert_unknown = audience`, c.toAll).Scan(&alerted)
		if err != nil {
			return err
		}
	}
	c.toAllAt = time.Now()
	return c.system.waitForRecorder(ctx, c.conn)
}

func (c *clinic) send(ctx context.Context, recipients string) (uuid.UUID, error) {
	var sent struct {
		ID uuid.UUID `json:"id"`
	}
	err := c.system.call(ctx, http.MethodPost, "/v1/messages", strings.NewReader(`{"subject":"We are closed on Monday",
		"body":"We are closed on Monday.\n\nYours, the clinic.","recipients":`+recipients+`,"staff_bcc":[],"attachment_ids":[],"undo_seconds":0}`), &sent)
	return sent.ID, err
}

// fillRecord publishes people's actions. Two in five opened the message to all.
func (c *clinic) fillRecord(ctx context.Context) error {
	log, err := c.system.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	b, year := &batch{log: log}, time.Now().AddDate(-1, 0, 0)
	b.publish(ctx, year, 2, func(i int) (string, events.Body) {
		return "operator:bench", events.StaffCreated{StaffID: fmt.Sprintf("reader-%d", i+1), Name: fmt.Sprintf("Reader %d", i+1)}
	})
	b.publish(ctx, c.toAllAt, c.users, func(i int) (string, events.Body) {
		if i%5 >= 2 || i%50 == 0 {
			return "", nil
		}
		id := fmt.Sprintf("u%d", i)
		return "portal_user:" + id, events.DeliveryOpened{MessageID: c.toAll, PortalUserID: id, PortalUserNo: int32(i)} // #nosec G115 -- small
	})
	b.publish(ctx, year, signIns, func(int) (string, events.Body) {
		id := fmt.Sprintf("u%d", 1+c.random.IntN(c.users))
		return "portal_user:" + id, events.SignIn{Attempt: uuid.New(), Account: "portal_user", ID: id, Method: events.ByPassword}
	})
	b.publish(ctx, year, failures, func(int) (string, events.Body) {
		return "process:api", events.SignIn{Failed: true, Attempt: uuid.New(), Account: "portal_user", Method: events.ByPassword, Reason: "no_account"}
	})
	b.publish(ctx, c.toAllAt, downloads, func(int) (string, events.Body) {
		no := 1 + 5*c.random.IntN(c.users/5)
		id := fmt.Sprintf("u%d", no)
		return "portal_user:" + id, events.AttachmentDownloaded{MessageID: c.toAll, PortalUserID: id, PortalUserNo: int32(no), // #nosec G115 -- small
			AttachmentID: c.toAll, Request: uuid.New()}
	})
	b.publish(ctx, year, privileges, func(i int) (string, events.Body) {
		return "staff:" + c.sender, events.PermissionChanged{Granted: i%2 == 0, Change: uuid.New(), StaffID: "reader-1", Permission: "manage_labels"}
	})
	b.publish(ctx, year, readings, func(int) (string, events.Body) {
		return "staff:reader-2", events.RecordRead{Reading: uuid.New(), What: events.ReadList, Count: 50}
	})
	if b.flush(ctx); b.err != nil {
		return b.err
	}
	return waitForPosition(ctx, c.conn, b.last)
}
