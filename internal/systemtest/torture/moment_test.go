package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"postern/internal/eventlog"
)

// A moment is a place that a blast comes to.
type moment struct {
	gauge string
	reach int
}

func (m moment) String() string { return fmt.Sprintf("%s ≥ %d", m.gauge, m.reach) }

// The gauges of a blast, in the order in which they begin to move.
const (
	written   = "requests written"
	claimed   = "claims of the sender's key"
	onRecord  = "events of it on the record"
	frozen    = "keys of its manifest" // made just before the audience is read
	delivered = "deliveries readable"
	alerted   = "alerts taken"
)

// gaugesOf are those that move while a kind of process has work in hand.
var gaugesOf = map[string][]string{
	"api":           {written, claimed, onRecord},
	"fanout-worker": {onRecord, frozen, delivered},
	"notify-worker": {delivered, alerted, alerted},
	"recorder":      {onRecord, delivered, alerted},
	"nats":          {written, onRecord, frozen, delivered, alerted},
	"postgres":      {written, claimed, onRecord, frozen, delivered, alerted},
	"up":            {written, claimed, onRecord, frozen, delivered, alerted},
}

// drawMoment draws a moment at which a process of the kind has work in hand.
func (p people) drawMoment(kind string, random *rand.Rand) moment {
	gauge := gaugesOf[kind][random.IntN(len(gaugesOf[kind]))]
	most := map[string]int{
		onRecord:  2 + p.chunks(), // message.sent, audience.resolved, the chunks
		delivered: len(p.audience),
		alerted:   len(p.audience) - p.noAddress,
	}[gauge]
	if kind == "api" || most == 0 {
		most = 1
	}
	return moment{gauge, 1 + random.IntN(most)}
}

// await returns when the blast has come to the moment. It looks again and again:
// the moments are over in milliseconds.
func (b *blast) await(m moment) {
	b.Helper()
	var log *eventlog.Log
	if m.gauge == onRecord {
		var err error
		if log, err = b.log(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer log.Close()
	}
	eventually(b, time.Millisecond, "a blast coming to "+m.String(), b.state, func(ctx context.Context) bool {
		return b.gauge(ctx, log, m.gauge) >= m.reach
	})
}

func (b *blast) gauge(ctx context.Context, log *eventlog.Log, gauge string) (value int) {
	switch gauge {
	case written:
		select {
		case <-b.written:
			return 1
		default:
			return 0
		}
	case alerted:
		return b.fake.Load().Count()
	case onRecord:
		state, err := log.State(ctx)
		if err != nil {
			return 0
		}
		return int(state.Last - b.base) // #nosec G115 -- a few dozen
	}
	const sends = ` FROM app.sends WHERE idempotency_key = $1`
	query := map[string]string{
		claimed:   `SELECT count(*)` + sends,
		frozen:    `SELECT count(*) FROM app.manifest_keys WHERE message_id IN (SELECT message_id` + sends + `)`,
		delivered: `SELECT coalesce(max(delivered), 0) FROM record.messages WHERE message_id IN (SELECT message_id` + sends + `)`,
	}[gauge]
	_ = b.pool.QueryRow(ctx, query, b.key).Scan(&value) // 0 where it can't be asked
	return value
}
