package torture

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"postern/internal/eventlog"
	"postern/internal/events"
)

// An event that no worker can handle comes before a message on the record. Each of its
// consumers parks it with a reason, and the message is delivered.
func TestAPoisonEventBlocksNoOther(t *testing.T) {
	t.Parallel()
	spoiled := func(body events.Body, spoil func(*nats.Msg)) *nats.Msg {
		e, err := events.New("/test", "process:test", time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		e.Chunk = &events.ChunkRef{Index: 0, Of: 2}
		msg := &nats.Msg{Subject: e.Subject(), Header: e.Header(), Data: e.Data}
		spoil(msg)
		return msg
	}
	sent := events.MessageSent{MessageID: uuid.New(), Recipients: events.Selection{Groups: []string{"all_portal_users"}}}
	created := events.DeliveriesCreated{MessageID: uuid.New(), Recipients: []events.Recipient{{PortalUserID: "pu-000001", PortalUserNo: 2}}}
	for _, c := range []struct {
		name   string
		poison *nats.Msg
		parked []string // the consumers that park it
	}{
		{"a message.sent whose body is cut", spoiled(sent, func(m *nats.Msg) { m.Data = m.Data[:20] }),
			[]string{eventlog.FanoutBulk, eventlog.FanoutDirect, events.Recorder}},
		{"a message.sent that is no event", spoiled(sent, func(m *nats.Msg) { m.Header = nats.Header{} }),
			[]string{eventlog.FanoutBulk, eventlog.FanoutDirect, events.Recorder}},
		{"a message.released without a message", spoiled(events.MessageReleased{MessageID: uuid.New()}, func(*nats.Msg) {}),
			[]string{eventlog.FanoutBulk, eventlog.FanoutDirect, events.Recorder}},
		{"a deliveries.created that is no event", spoiled(created, func(m *nats.Msg) { m.Header.Del("ce-id") }),
			[]string{eventlog.NotifyBulk, eventlog.NotifyDirect, events.Recorder}},
		{"a deliveries.created without a chunk", spoiled(created, func(m *nats.Msg) { m.Header.Del("ce-chunk") }),
			[]string{eventlog.NotifyDirect, events.Recorder}},
		{"a deliveries.created of no message", spoiled(created, func(*nats.Msg) {}),
			[]string{eventlog.NotifyBulk, events.Recorder}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := newInside(t)
			if _, err := in.log.JetStream().PublishMsg(t.Context(), c.poison); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{partRecorder, partFanout, partNotify} {
				in.startInstance(part, nil)
			}
			in.send(in.startInstance(partAPI, nil), uuid.NewString(), false)
			in.settle()
			o := outcome{audience: in.people.audience, taken: in.fake.Counts()}
			if err := o.load(t.Context(), in.admin, in.message); err != nil {
				t.Fatal(err)
			}
			if wrong, unknown := o.judge(); len(wrong) > 0 || unknown > 0 {
				t.Errorf("%v, %d unknown", wrong, unknown)
			}
			var parked []string
			eventually(t, 20*time.Millisecond, "parking", in.state, func(ctx context.Context) bool {
				err := in.admin.QueryRow(ctx, `SELECT array_agg(consumer ORDER BY consumer) FROM app.parked WHERE seq = 1 AND reason <> ''`).Scan(&parked)
				return err == nil && len(parked) >= len(c.parked)
			})
			if diff := cmp.Diff(c.parked, parked); diff != "" {
				t.Errorf("parked by (-want +got):\n%s", diff)
			}
		})
	}
}
