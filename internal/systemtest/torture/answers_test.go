package torture

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog"
	"postern/internal/events"
)

// The external effects of a part, each of which can fail.
const (
	effectPublish  = "publish"
	effectCommit   = "commit"
	effectAck      = "ack"
	effectSendGrid = "SendGrid"
)

func (c crash) effect() string {
	switch {
	case c.call:
		return effectSendGrid
	case c.sql != "":
		return effectCommit
	case len(c.line) > 1:
		return effectAck
	}
	return effectPublish
}

// The answer to each external effect is lost once, after the effect was persisted and
// after it was not. The part survives and retries, and the record is complete:
// {publish, commit, ack, SendGrid} × {not persisted, persisted}.
func TestEachAnswerLost(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, p := range []struct {
		name    string
		part    string
		crash   crash
		unknown bool // whether alerts end unknown
	}{
		{"publish message.sent", partAPI, crash{publish: events.TypeMessageSent}, false},
		{"publish deliveries.created", partFanout, crash{publish: events.TypeDeliveriesCreated}, false},
		{"publish alerts.accepted", partNotify, crash{publish: events.TypeAlertsAccepted}, false},
		{"commit the sender's key", partAPI, crash{sql: "commit", since: "INSERT INTO app.message_content"}, false},
		{"commit deliveries", partRecorder, crash{sql: "commit", since: "deliveries.created"}, false},
		{"ack message.sent", partFanout, crash{line: acked(eventlog.FanoutBulk)}, false},
		{"ack deliveries.created", partNotify, crash{line: acked(eventlog.NotifyBulk)}, false},
		{"SendGrid", partNotify, crash{call: true}, true},
	} {
		for _, persisted := range []bool{false, true} {
			when := map[bool]string{false: "not persisted", true: "persisted"}[persisted]
			c := p.crash
			c.survives, c.after = true, persisted
			seen[c.effect()+", "+when]++
			t.Run(p.name+"/"+when, func(t *testing.T) {
				t.Parallel()
				in := newInside(t)
				in.loseAnswer(p.part, &c)
				in.verdict(p.unknown)
			})
		}
	}
	for _, effect := range []string{effectPublish, effectCommit, effectAck, effectSendGrid} {
		for _, when := range []string{"not persisted", "persisted"} {
			if seen[effect+", "+when] == 0 {
				t.Errorf("no row has %s, %s", effect, when)
			}
		}
	}
}

// loseAnswer sends a message through all parts. One of them loses an answer.
func (in *inside) loseAnswer(part string, c *crash) {
	in.Helper()
	var loses, web *instance
	for _, one := range []string{partRecorder, partFanout, partNotify, partAPI} {
		var l *instance
		if one == part {
			l = in.startInstance(one, c)
			loses = l
		} else {
			l = in.startInstance(one, nil)
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
