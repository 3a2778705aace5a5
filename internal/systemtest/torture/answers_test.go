package torture

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog"
	"postern/internal/events"
)

// What a part does to the outside, at which it can fail.
const (
	doesPublish  = "publish"
	doesCommit   = "commit"
	doesAck      = "ack"
	doesSendGrid = "SendGrid"
)

func (c crash) does() string {
	switch {
	case c.call:
		return doesSendGrid
	case c.sql != "":
		return doesCommit
	case len(c.line) > 1:
		return doesAck
	}
	return doesPublish
}

// The answer to each thing that a part does gets lost once, of what was done and
// of what was not. The part lives on, does it again, and the record is whole:
// {publish, commit, ack, SendGrid} × {not persisted, persisted}.
func TestEachAnswerLost(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, p := range []struct {
		name    string
		part    string
		crash   crash
		unknown bool // whether alerts end unknown, as nobody can know
	}{
		{"publish message.sent", partAPI, crash{publish: events.TypeMessageSent}, false},
		{"publish deliveries.created", partFanout, crash{publish: events.TypeDeliveriesCreated}, false},
		{"publish alerts.accepted", partNotify, crash{publish: events.TypeAlertsAccepted}, false},
		{"commit the sender's key", partAPI, crash{sql: "commit", since: "INSERT INTO app.message_content"}, false},
		{"commit deliveries", partRecorder, crash{sql: "commit", since: "COPY deliveries"}, false},
		{"ack message.sent", partFanout, crash{line: acked(eventlog.FanoutBulk)}, false},
		{"ack deliveries.created", partNotify, crash{line: acked(eventlog.NotifyBulk)}, false},
		{"SendGrid", partNotify, crash{call: true}, true},
	} {
		for _, persisted := range []bool{false, true} {
			when := map[bool]string{false: "not persisted", true: "persisted"}[persisted]
			c := p.crash
			c.lives, c.after = true, persisted
			seen[c.does()+", "+when]++
			t.Run(p.name+"/"+when, func(t *testing.T) {
				t.Parallel()
				in := newInside(t)
				in.carryOn(p.part, &c)
				in.verdict(p.unknown)
			})
		}
	}
	for _, does := range []string{doesPublish, doesCommit, doesAck, doesSendGrid} {
		for _, when := range []string{"not persisted", "persisted"} {
			if seen[does+", "+when] == 0 {
				t.Errorf("no row has %s, %s", does, when)
			}
		}
	}
}

// carryOn lets a message go through all parts, of which one loses an answer.
func (in *inside) carryOn(part string, c *crash) {
	in.Helper()
	var loses, web *life
	for _, one := range []string{partRecorder, partFanout, partNotify, partAPI} {
		var l *life
		if one == part {
			l = in.live(one, c)
			loses = l
		} else {
			l = in.live(one, nil)
		}
		web = l // the last
	}
	key, client := uuid.NewString(), in.compose(web)
	eventually(in, 20*time.Millisecond, "sending", in.state, func(ctx context.Context) bool {
		sent, err := client.post(ctx, key, false)
		in.message = sent.ID
		return err == nil
	})
	in.awaitCrash(loses)
	in.settle()
}
