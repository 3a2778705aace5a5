package audiences_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/events"
	"postern/internal/proof/verify/audiences"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// town is a directory of three blocks with ten portal users each, whose patients are discharged
// in block 1 and active elsewhere.
type town struct {
	t     testing.TB
	url   string
	state roster.State
	cites string
	check *audiences.Check
	// reads is the number of queries that read rosters.
	reads           atomic.Int32
	faults, missing []string
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newTown(t testing.TB) *town {
	t.Helper()
	url := storetest.New(t)
	c := &town{t: t, url: url}
	kept := rosterstoretest.Content(t)
	rosters := rosterstore.New(rosterstore.Config{Pool: storetest.Open(t, url, store.RoleFanout), Content: kept})
	for no := range block.No(3) {
		var people []roster.Person
		for place := range 10 {
			n := no.At(place)
			people = append(people, roster.Person{No: n, ID: fmt.Sprint("pu-", n), Active: true,
				Links: []roster.Link{{PatientNo: n, PatientID: fmt.Sprint("pt-", n), Self: true, Discharged: no == 1}}})
		}
		made, err := roster.Make(no, people)
		must(t, err)
		roots, err := rosters.Put(t.Context(), []roster.Roster{made})
		must(t, err)
		c.state = append(c.state, roster.BlockRoot{Block: no, Root: roots[0]})
	}
	digest, err := rosters.KeepState(t.Context(), c.state)
	must(t, err)
	c.cites = digest.Name()
	counted := rosterstoretest.Hooked(t, url, store.RoleAdmin, func(sql string) error {
		if strings.Contains(sql, "app.roster_names") {
			c.reads.Add(1)
		}
		return nil
	})
	c.check = audiences.New(audiences.Config{Pool: counted, Content: kept,
		Fault:   func(seq uint64, what string) { c.faults = append(c.faults, fmt.Sprintf("%d: %s", seq, what)) },
		Missing: func(seq uint64, what string) { c.missing = append(c.missing, fmt.Sprintf("%d: %s", seq, what)) }})
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// message gives a message to a group, with an event for each of the blocks. The first of them are
// trusted.
func (c *town) message(group string, day time.Time, trusted int, blocks ...block.No) {
	c.t.Helper()
	c.messageTo(events.Selection{Groups: []string{group}}, day, trusted, blocks...)
}

func (c *town) messageTo(recipients events.Selection, day time.Time, trusted int, blocks ...block.No) {
	c.t.Helper()
	sent := events.MessageSent{MessageID: uuid.New(), Recipients: recipients}
	m := audiences.To(sent)
	follow := func(seq uint64, body events.Body, trusted bool) {
		c.t.Helper()
		e, err := events.New("/test", "process:test", noon, body)
		must(c.t, err)
		if e.IsByBlock() {
			e.Chunk = &events.ChunkRef{Index: int(seq) - 3, Of: len(blocks)} // #nosec G115 -- small
		}
		if trusted {
			m.Before(seq, e)
		} else {
			must(c.t, c.check.Event(c.t.Context(), seq, e, m))
		}
	}
	follow(2, events.AudienceResolved{MessageID: sent.MessageID, Directory: c.cites, Day: day.Format(time.DateOnly), Chunks: len(blocks)}, trusted > 0)
	for i, no := range blocks {
		b := events.CitedBlock{No: no, Roster: c.state[no].Root}
		for place := range 10 {
			b.Members.Add(place)
		}
		follow(uint64(3+i), events.DeliveriesByBlock{MessageID: sent.MessageID, Chunk: i, Day: day, Groups: sent.Recipients.Groups, // #nosec G115 -- small
			Selection: sent.SelectionDigest(), Blocks: []events.CitedBlock{b}, Nonce: events.NewNonce()}, i < trusted)
	}
}

func (c *town) evaluated(faults ...string) {
	c.t.Helper()
	must(c.t, c.check.Evaluate(c.t.Context()))
	if len(c.missing) > 0 || len(c.faults) != len(faults) {
		c.t.Fatalf("missing: %q, faults: %q", c.missing, c.faults)
	}
	for i, says := range faults {
		if !strings.Contains(c.faults[i], says) {
			c.t.Errorf("it says %s, want %s", c.faults[i], says)
		}
	}
	c.faults = nil
}

// Rosters are read once, however many messages of however many days cite a state of the directory:
// blasts to all of it, and messages to few. A person who was left out is found all the same.
func TestRostersAreReadOnce(t *testing.T) {
	t.Parallel()
	c := newTown(t)
	for n := range 50 {
		day := noon.AddDate(0, 0, n%25)
		c.message("all_portal_users", day, 0, 0, 1, 2)
		c.message("discharged_patients", day, 0, 1)
		if n%10 == 0 {
			c.evaluated()
		}
	}
	c.evaluated()
	if n := c.reads.Load(); n != 1 || c.check.Rosters() != 3 {
		t.Errorf("%d rosters were read by %d queries", c.check.Rosters(), n)
	}
	c.message("active_patients", noon, 0, 0)
	must(t, c.check.Evaluate(t.Context()))
	if len(c.faults) != 10 || !strings.HasPrefix(c.faults[0], "2: ") || !strings.Contains(c.faults[9], "pu-510 (number 510), who on 2026-03-01 was in one of the groups") {
		t.Errorf("of block 2 it says %q", c.faults)
	}
}

// Deliveries from before a checkpoint are not evaluated, and their blocks are not of the rest.
func TestDeliveriesBeforeACheckpoint(t *testing.T) {
	t.Parallel()
	c := newTown(t)
	c.message("all_portal_users", noon, 1, 0, 1, 2)
	c.evaluated()
	if n := c.check.Rosters(); n != 2 {
		t.Errorf("%d rosters were evaluated", n)
	}
	c.message("all_portal_users", noon, 2, 0, 2) // all before: nothing is evaluated
	c.evaluated()
	c.message("active_patients", noon, 1, 0, 2)
	c.evaluated()
	c.message("active_patients", noon, 1, 2, 1)
	must(t, c.check.Evaluate(t.Context()))
	if len(c.faults) != 20 { // ten who were left out of block 0, ten who got it in block 1
		t.Errorf("it says %q", c.faults)
	}
}

// A message whose deliveries name people cites no directory.
func TestDeliveriesThatNamePeople(t *testing.T) {
	t.Parallel()
	c := newTown(t)
	sent := events.MessageSent{MessageID: uuid.New(), Recipients: events.Selection{Groups: []string{"all_portal_users"}, PortalUserIDs: []string{"pu-1"}}}
	for directory, faults := range map[string][]string{c.cites: {"3: the deliveries of message " + sent.MessageID.String() + " name people"}, "": nil} {
		m := audiences.To(sent)
		for i, body := range []events.Body{events.AudienceResolved{MessageID: sent.MessageID, Chunks: 1, Directory: directory, Day: "2026-03-01"},
			events.DeliveriesCreated{MessageID: sent.MessageID, Recipients: []events.Recipient{{PortalUserID: "pu-1", PortalUserNo: 1, Links: []events.Link{}}}}} {
			e, err := events.New("/test", "process:test", noon, body)
			must(t, err)
			e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
			must(t, c.check.Event(t.Context(), uint64(2+i), e, m)) // #nosec G115 -- small
		}
		c.evaluated(faults...)
	}
}

// Of a portal user who was chosen by id nothing is said if a roster of the deliveries was not
// evaluated: it may be theirs.
func TestAChosenPortalUserWhoMayBeElsewhere(t *testing.T) {
	t.Parallel()
	c := newTown(t)
	everyone := events.Selection{Groups: []string{"all_portal_users"}, PortalUserIDs: []string{"pu-1", "pu-501"}}
	c.messageTo(everyone, noon, 0, 0, 1, 2)
	c.evaluated()
	c.messageTo(everyone, noon, 1, 0, 1, 2) // the delivery to pu-1 is trusted
	c.evaluated()
	everyone.PortalUserIDs = append(everyone.PortalUserIDs, "pu-777")
	c.messageTo(everyone, noon, 1, 0, 1, 2)
	c.evaluated()
	c.messageTo(everyone, noon, 0, 0, 1, 2)
	c.evaluated("2: message ")
	_, err := storetest.Open(t, c.url, store.RoleAdmin).Exec(t.Context(), `DELETE FROM app.rosters WHERE block = 2`)
	must(t, err)
	c.messageTo(everyone, noon, 0, 0, 1, 2)
	must(t, c.check.Evaluate(t.Context()))
	if len(c.missing) != 1 || len(c.faults) != 0 {
		t.Errorf("missing: %q, faults: %q", c.missing, c.faults)
	}
}
