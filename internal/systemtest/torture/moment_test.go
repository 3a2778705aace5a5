package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"postern/internal/eventlog"
)

// A moment is a state that a blast reaches: a gauge with at least the value reach.
type moment struct {
	gauge string
	reach int
}

func (m moment) String() string { return fmt.Sprintf("%s ≥ %d", m.gauge, m.reach) }

// The gauges of a blast, in the order in which they begin to rise.
const (
	written   = "requests written"
	claimed   = "claims of the sender's key"
	onRecord  = "its events on the record"
	frozen    = "keys of its manifest" // stored just before the audience is read
	delivered = "deliveries readable"
	alerted   = "alerts taken"
)

// gaugesOf gives, for each kind of process, the gauges that rise while it works.
var gaugesOf = map[string][]string{
	"api":           {written, claimed, onRecord},
	"fanout-worker": {onRecord, frozen, delivered},
	"notify-worker": {delivered, alerted, alerted},
	"recorder":      {onRecord, delivered, alerted},
	"nats":          {written, onRecord, frozen, delivered, alerted},
	"postgres":      {written, claimed, onRecord, frozen, delivered, alerted},
	"up":            {written, claimed, onRecord, frozen, delivered, alerted},
}

// drawMoment draws a moment at which a process of the kind works.
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

// await returns when the blast has reached the moment. It polls, because a moment
// passes within milliseconds.
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
	eventually(b, time.Millisecond, "a blast reaching "+m.String(), b.state, func(ctx context.Context) bool {
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
	_ = b.pool.QueryRow(ctx, query, b.key).Scan(&value) // 0 if the query fails
	return value
}
