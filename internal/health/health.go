// Package health reports the state of the system: its stores, the lag of the consumers and
// the recorder, parked events, pauses, waiting alerts and SendGrid's answers.
//
// Each fact is defined here once. /readyz, /metrics, the operations page, /v1/operations and
// `postern health` differ only in the parts that they ask for:
//
//	state, err := status.State(ctx, health.PartParked, health.PartRecorder)
//
// A part that can't be read is named in [State.Unread]; its fields are then zero and have no
// meaning. [Status.Ready] returns the reasons for which a process can't work.
//
// Every part is a count, has one row for a thousand alerts, or is read along an index. So
// the whole state can be read every few seconds.
package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/notify/pause"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/text/language"
)

// Config holds the dependencies of a [Status].
type Config struct {
	Pool *pgxpool.Pool
	Log  *eventlog.Log
	// Position must be running: it knows when this process began to watch the recorder.
	Position *position.Watcher
	// FreeSpace returns the free bytes on the disk where NATS keeps the record; nil: the limits
	// of the server count.
	FreeSpace func() (int64, error)
	// MissingContent counts the messages whose content this process did not find; nil: 0.
	MissingContent func() int
	// UncopiedKeys counts the content keys that are only in Postgres; nil: 0.
	UncopiedKeys func(context.Context) (int, error)
	// Checks are further checks of [Status.Ready], by name, such as free space on the disk.
	Checks map[string]func(context.Context) error
	// Warnings returns what an operator should correct although the process works; nil: nothing.
	Warnings func() []Fault
	Now      func() time.Time
}

// Status reads a [State]. It is safe for concurrent use.
type Status struct{ cfg Config }

// New makes a [Status]. It does no I/O.
func New(cfg Config) *Status { return &Status{cfg} }

// A Part is a part of a [State] that is read by itself. /readyz uses the same names.
type Part string

// The parts. PartPostgres, PartNATS and PartMigration fill no field: they are unread where a
// store does not answer, or where the schema is older than the program.
const (
	PartPostgres    Part = "postgres"
	PartNATS        Part = "nats"
	PartMigration   Part = "migration"
	PartRecord      Part = "record"
	PartRecorder    Part = "recorder" // with Stream.Events, Bytes and Last
	PartConsumers   Part = "consumers"
	PartSpace       Part = "room"
	PartParked      Part = "parked"
	PartWaiting     Part = "waiting" // with Retries
	PartPauses      Part = "pauses"
	PartAnswers     Part = "answers"
	PartAlerts      Part = "alerts"
	PartReplication Part = "replication"
	PartPromotion   Part = "promotion"
	PartContent     Part = "content"
	PartEmergencies Part = "emergencies"
	PartStuck       Part = "stuck"

	// These two are only in warnings.
	PartScanner     Part = "scanner"
	PartCertificate Part = "certificate"
)

// AllParts has the parts that [Status.State] reads where no part is named.
var AllParts = []Part{PartRecord, PartRecorder, PartConsumers, PartSpace, PartParked, PartWaiting, PartPauses,
	PartAnswers, PartAlerts, PartReplication, PartPromotion, PartContent, PartEmergencies, PartStuck}

var readers = map[Part]func(*Status, context.Context, *State) error{
	PartPostgres:    (*Status).ping,
	PartNATS:        (*Status).connected,
	PartMigration:   (*Status).migrated,
	PartRecord:      (*Status).record,
	PartRecorder:    (*Status).recorder,
	PartConsumers:   (*Status).consumers,
	PartSpace:       (*Status).room,
	PartParked:      (*Status).parked,
	PartWaiting:     (*Status).waiting,
	PartPauses:      (*Status).pauses,
	PartAnswers:     (*Status).answers,
	PartAlerts:      (*Status).alerts,
	PartReplication: (*Status).replication,
	PartPromotion:   (*Status).promotion,
	PartContent:     (*Status).content,
	PartEmergencies: (*Status).emergencies,
	PartStuck:       (*Status).stuck,
}

// State is the state of the system at one moment. Its JSON is the answer of /v1/operations.
type State struct {
	At          time.Time         `json:"at"`
	Consumers   []Consumer        `json:"consumers" nullable:"false"`
	Recorder    Lag               `json:"recorder"`
	Record      Record            `json:"record"`
	Stream      Stream            `json:"stream"`
	Parked      int               `json:"parked" doc:"Parked events that are open: neither handled nor discarded."`
	ParkedOf    map[string]int    `json:"-"` // by consumer, with an entry for each
	Waiting     []Waiting         `json:"waiting" nullable:"false" doc:"Chunks whose alerts wait, and why."`
	Retries     int               `json:"-"` // chunks that wait for a retry, without those of replays
	Pauses      []pause.Pause     `json:"pauses" nullable:"false" doc:"Pauses in force, that of all messages first."`
	Answers     []Minute          `json:"answers" nullable:"false" doc:"SendGrid's answers by minute, of the last hour, the latest first."`
	Alerts      []Hour            `json:"alerts" nullable:"false" doc:"What became of alerts by hour, of the last day, the earliest first."`
	Replication store.Replication `json:"replication" doc:"The replicas of Postgres."`
	Unsettled   bool              `json:"promotion_unsettled" doc:"Postgres was promoted or restored, and alerts wait until what that may have lost is recorded."`
	Content     Content           `json:"content"`
	Emergencies Emergencies       `json:"emergencies"`
	Series      []Bar             `json:"series" nullable:"false" doc:"What happened over time, the earliest first: the last day by the hour, or what span says."`
	Stuck       []Stuck           `json:"stuck" nullable:"false" doc:"Work that does not go on by itself, or takes too long: since when, and what to do."`

	// Unread has an error for each part that was asked for and could not be read.
	Unread map[Part]error `json:"-"`
}

// Record is the result of the recorder's last comparison of the stream with the copy.
type Record struct {
	Whole  bool   `json:"whole" doc:"Whether they agreed, and a recorder has led since this process began."`
	Detail string `json:"detail" doc:"What is wrong and what to do; empty where they agreed."`
}

// Content counts missing content of messages and content keys without a copy.
type Content struct {
	Missing  int `json:"missing" doc:"Messages whose content this process did not find, although it was not erased."`
	Uncopied int `json:"uncopied_keys" doc:"Content keys that are in Postgres alone."`
}

// Emergencies counts emergency access to content and disclosures.
type Emergencies struct {
	Opened     int `json:"opened" doc:"How often emergency access was opened, since the beginning."`
	Open       int `json:"open" doc:"Openings by which something can be read now."`
	Unreviewed int `json:"unreviewed" doc:"Openings that no one has reviewed yet, with those that are open."`
}

// State reads the named parts, or [AllParts], concurrently. Its error joins those of
// [State.Unread]; the other parts of the state are valid all the same.
func (h *Status) State(ctx context.Context, parts ...Part) (State, error) {
	if len(parts) == 0 {
		parts = AllParts
	}
	s := State{At: h.cfg.Now().UTC(), Unread: map[Part]error{}}
	var mu sync.Mutex // of s.Unread: every other field belongs to one part
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() {
			if err := readers[part](h, ctx, &s); err != nil {
				mu.Lock()
				defer mu.Unlock()
				s.Unread[part] = err
			}
		})
	}
	all.Wait()
	if slices.Contains(parts, PartStuck) {
		s.addStuck(language.From(ctx))
	}
	return s, errors.Join(slices.Collect(maps.Values(s.Unread))...)
}

// LagLimit is how long an event may wait for the recorder before the system is not ready.
// A message to a million recipients takes a few seconds.
const LagLimit = 30 * time.Second

// readyTimeout bounds an answer of /readyz.
const readyTimeout = 3 * time.Second

// A Fault is a reason for which a process can't do its work.
type Fault struct {
	Part   Part
	Reason string
}

func (f Fault) String() string { return string(f.Part) + ": " + f.Reason }

// Ready checks the named parts and Checks. It returns every reason for which the process
// can't work, sorted by name; none where it is ready. It takes three seconds at most.
func (h *Status) Ready(ctx context.Context, parts ...Part) []Fault {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	s, _ := h.State(ctx, parts...) // the error is in its faults
	faults := s.faults()
	for name, check := range h.cfg.Checks {
		if err := check(ctx); err != nil {
			faults = append(faults, Fault{Part(name), err.Error()})
		}
	}
	slices.SortFunc(faults, func(x, y Fault) int { return strings.Compare(string(x.Part), string(y.Part)) })
	return faults
}

// Warnings returns what an operator should correct, although the process works.
func (h *Status) Warnings() []Fault {
	if h.cfg.Warnings == nil {
		return nil
	}
	return h.cfg.Warnings()
}

// faults are the reasons for which messages can't be sent or read in this state.
func (s State) faults() (all []Fault) {
	for part, err := range s.Unread {
		all = append(all, Fault{part, err.Error()})
	}
	if s.Record.Detail != "" {
		all = append(all, Fault{PartRecord, s.Record.Detail})
	}
	switch {
	case s.Stream.Last < s.Recorder.Position:
		all = append(all, Fault{PartRecorder, fmt.Sprintf(
			"the stream ends at event %d, and %d were recorded: NATS_URL names another stream, or this one was lost. `postern repair` restores it from the copy",
			s.Stream.Last, s.Recorder.Position)})
	case s.Recorder.Age > LagLimit:
		all = append(all, Fault{PartRecorder, fmt.Sprintf(
			"%d recorded events are not shown on any page yet, the first of them for %s: check that a recorder is running, and read its log",
			s.Recorder.Events, s.Recorder.Age.Round(time.Second))})
	}
	return all
}
