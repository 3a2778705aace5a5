// Package audiences evaluates the audience of each message to groups again, from the state of the
// directory that it cites. In each block that its deliveries cite, the members must be those whom
// the rule gives on the roster and the day, and those whom the message names. In each other block
// of the directory, the rule must give no one. An audience of version 1 cites no state: only the
// blocks of its deliveries are evaluated.
package audiences

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/events"
)

// Sent says to whom a message to groups was sent, and what its events have cited so far.
type Sent struct {
	id        uuid.UUID
	groups    []string
	selection string          // the digest of the recipients
	chosen    map[string]bool // the portal users who were chosen by id beside the groups

	resolved  uint64 // the sequence of audience.resolved
	chunks    int    // of the audience
	delivered int    // chunks so far
	directory string // the state and the day that it cites, "" in version 1
	day       string
	cited     []citedBlock // by the deliveries so far
	named     bool         // a delivery names people, and cites no blocks
	// unplaced are those of the chosen whom no evaluated roster of a delivery has. unevaluated says
	// that there are other deliveries.
	unplaced    map[string]bool
	unevaluated bool
}

// citedBlock is a block of a delivery, with the sequence of the delivery.
type citedBlock struct {
	roster.BlockRoot
	seq uint64
}

// To returns to whom a message was sent. Its later events are for [Check.Event].
func To(m events.MessageSent) *Sent {
	sent := &Sent{id: m.MessageID, groups: m.Recipients.Groups, selection: m.SelectionDigest(), chosen: map[string]bool{}}
	if len(m.Recipients.Groups) > 0 {
		for _, id := range m.Recipients.PortalUserIDs {
			sent.chosen[id] = true
		}
	}
	sent.unplaced = maps.Clone(sent.chosen)
	return sent
}

// complete reports whether the audience and all its deliveries were there.
func (m *Sent) complete() bool { return m.resolved > 0 && m.delivered >= m.chunks }

// follow notes an audience, or the number of a delivery.
func (m *Sent) follow(seq uint64, e events.Event) {
	switch e.Type {
	case events.TypeAudienceResolved:
		if a, err := events.Decode[events.AudienceResolved](e); err == nil && m.resolved == 0 {
			m.resolved, m.chunks, m.directory, m.day = seq, a.Chunks, a.Directory, a.Day
		}
	case events.TypeDeliveriesCreated:
		if e.Chunk.Index == m.delivered { // otherwise it is a repeated one
			m.delivered++
		}
	}
}

// Before notes an event of the message that is trusted, and is not evaluated.
func (m *Sent) Before(seq uint64, e events.Event) {
	if e.IsByBlock() {
		m.unevaluated = true
		if body, err := events.Decode[events.DeliveriesByBlock](e); err == nil {
			m.note(seq, body)
		}
	}
	if m.follow(seq, e); m.complete() {
		m.cited = nil
	}
}

func (m *Sent) note(seq uint64, body events.DeliveriesByBlock) {
	for i := range body.Blocks {
		m.cited = append(m.cited, citedBlock{roster.BlockRoot{Block: body.Blocks[i].No, Root: body.Blocks[i].Roster}, seq})
	}
}

// Config has what a [Check] needs.
type Config struct {
	Pool *pgxpool.Pool
	// Content decrypts the secrets of rosters, from which their roots are recomputed. If nil,
	// they are not.
	Content *content.Store
	// Fault is called for each fault, with the sequence of its event.
	Fault func(seq uint64, what string)
	// Missing is called once for each roster or state of the directory that is missing or was
	// changed, with the first event that cites it. That is not a fault of the record, which says
	// who got the message, by number.
	Missing func(seq uint64, what string)
}

// A Check checks audiences. It is not safe for concurrent use.
type Check struct {
	Config
	inPart   int
	waiting  []citation // not evaluated yet
	complete []*Sent    // whose deliveries are all in waiting or evaluated, with chosen portal users
	// known caches what the rule gives on a roster. Blasts of one day share rosters.
	known map[evaluation]given
	// facts caches the facts of rosters that were checked, to evaluate them on other days.
	facts      map[roster.Digest][]byte
	factsBytes int
	// seen has every roster that was read. It is false for one that is missing or damaged.
	seen map[roster.Digest]bool
	// states caches states of the directory. Those that are missing are in noState.
	states  map[string]roster.State
	noState map[string]bool
}

// New returns a Check.
func New(c Config) *Check {
	return &Check{Config: c, known: map[evaluation]given{}, facts: map[roster.Digest][]byte{}, seen: map[roster.Digest]bool{},
		states: map[string]roster.State{}, noState: map[string]bool{}}
}

// InPart returns the number of complete audiences by block that cite no state of the directory.
func (v *Check) InPart() int { return v.inPart }

// Rosters returns the number of rosters on which audiences were evaluated.
func (v *Check) Rosters() (n int) {
	for _, whole := range v.seen {
		if whole {
			n++
		}
	}
	return n
}

// citation is a block of a delivery, or a block of the directory that no delivery of the message
// cites, and which has no members.
type citation struct {
	evaluation
	seq       uint64
	of        *Sent
	delivered bool // it is of a delivery
	block     block.No
	actual    block.Members
}

// evaluation is what the rule is applied to.
type evaluation struct {
	root   roster.Digest
	day    int32
	groups rule.Set
}

// given is what the rule gives.
type given struct {
	block   block.No
	members block.Members
}

const (
	// citedAtOnce is the number of rosters that are in memory: about ten megabytes.
	citedAtOnce = 1024
	// readAtOnce is the number of rosters that one query reads.
	readAtOnce = 256
	// mostKnown limits the cache to about 30 megabytes.
	mostKnown = 200_000
	// mostFacts is the number of bytes of facts that are kept: those of twenty million people.
	mostFacts = 64 << 20
	// mostStates is the number of states that are kept: of a million people ten megabytes.
	mostStates = 64
)

// Event checks what an event says about the audience of a message, now or with later ones. Events
// that are out of order must not be given: see package verify.
func (v *Check) Event(ctx context.Context, seq uint64, e events.Event, m *Sent) error {
	complete := m.complete()
	m.follow(seq, e)
	if e.Type == events.TypeDeliveriesCreated {
		if err := v.cite(ctx, seq, e, m); err != nil {
			return err
		}
	}
	if !complete && m.complete() {
		return v.checkRest(ctx, m)
	}
	return nil
}

// cite checks the audience of a delivery.
func (v *Check) cite(ctx context.Context, seq uint64, e events.Event, m *Sent) error {
	if !e.IsByBlock() {
		if m.directory != "" {
			m.named = true
			v.Fault(seq, fmt.Sprintf("the deliveries of message %s name people, and its audience cites the directory", m.id))
		}
		return nil
	}
	body, err := events.Decode[events.DeliveriesByBlock](e)
	if err != nil {
		return nil //nolint:nilerr // it was not projected either
	}
	m.note(seq, body)
	groups, err := rule.SetOf(body.Groups)
	switch {
	case err != nil:
		v.Fault(seq, err.Error())
		return nil
	case len(m.groups) == 0 || !slices.Equal(body.Groups, m.groups) || body.Selection != m.selection:
		v.Fault(seq, fmt.Sprintf("the deliveries are for other groups or recipients than message %s was sent to", m.id))
		return nil
	case m.day != "" && body.Day.Format(time.DateOnly) != m.day:
		v.Fault(seq, fmt.Sprintf("the deliveries of message %s are of another day than its audience, which is of %s", m.id, m.day))
	}
	for _, b := range body.Blocks {
		c := citation{evaluation{b.Roster, field.Day(body.Day), groups}, seq, m, true, b.No, b.Members}
		if len(m.chosen) > 0 || !v.holds(&c) {
			v.waiting = append(v.waiting, c)
		}
	}
	if len(v.waiting) < citedAtOnce {
		return nil
	}
	return v.Evaluate(ctx)
}
