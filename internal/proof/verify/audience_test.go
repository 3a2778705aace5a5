package verify_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/verify"
)

// cited is a clinic with a directory of three full blocks. The patients of portal users with an
// even number are discharged.
type cited struct {
	*clinic
	content *content.Store
	rosters []roster.Roster
	roots   []roster.Digest
	// directory is the state of the directory, as events cite it.
	directory string
}

const citedBlocks = 3

func newCited(t *testing.T) *cited {
	t.Helper()
	c := &cited{clinic: newClinic(t)}
	key := filepath.Join(t.TempDir(), "content.key")
	must(content.CreateKeyFile(key))(t)
	c.content = must(content.Open(t.Context(), t.TempDir(), key))(t)
	t.Cleanup(func() { _ = c.content.Close() })
	for no := range block.No(citedBlocks) {
		c.rosters = append(c.rosters, fullRoster(t, no))
	}
	c.roots = must(c.store().Put(t.Context(), c.rosters))(t)
	c.directory = c.state(t, nil)
	return c
}

// state stores the state of the directory that change makes of the right one, and returns it as
// events cite it.
func (c *cited) state(t testing.TB, change func(roster.State) roster.State) string {
	t.Helper()
	var state roster.State
	for no, root := range c.roots {
		state = append(state, roster.BlockRoot{Block: block.No(no), Root: root})
	}
	if change == nil {
		return must(c.store().KeepState(t.Context(), state))(t).Name()
	}
	state = change(state)
	digest := state.Digest()
	c.exec(`INSERT INTO app.directory_states (digest, state, copied) VALUES ($1, $2, false)`, digest[:], state.Bytes())
	return digest.Name()
}

func (c *cited) store() *rosterstore.Store {
	return rosterstore.New(rosterstore.Config{Pool: c.pool, Content: c.content})
}

func fullRoster(t testing.TB, no block.No) roster.Roster {
	t.Helper()
	people := make([]roster.Person, block.Size)
	for i := range people {
		n := no.At(i)
		people[i] = roster.Person{No: n, ID: fmt.Sprint("pu-", n), Active: true, Links: []roster.Link{{PatientNo: n, PatientID: fmt.Sprint("pt-", n), Self: true,
			From: field.DateOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Discharged: n%2 == 0}}}
	}
	return must(roster.Make(no, people))(t)
}

// sending is a message to groups in one chunk.
type sending struct {
	sent     events.MessageSent
	resolved events.AudienceResolved
	body     events.DeliveriesByBlock
}

// message is all events of a message to the discharged patients and to portal user 1, with the
// deliveries that change makes of the right ones. The audience that was frozen is the changed
// one, so that nothing else is wrong.
func (c *cited) message(t testing.TB, change func(*events.DeliveriesByBlock)) []events.Event {
	t.Helper()
	return c.changed(t, func(s *sending) {
		if change != nil {
			change(&s.body)
		}
	})
}

// changed is message with other changes. Without blocks, the message has no chunk.
func (c *cited) changed(t testing.TB, change func(*sending)) []events.Event {
	t.Helper()
	m := uuid.Must(uuid.NewV7())
	sent := events.MessageSent{MessageID: m, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, Attachments: []events.AttachmentFact{},
		StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: noon, Recipients: events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{"discharged_patients"}}}
	body := events.DeliveriesByBlock{MessageID: m, Day: noon, Groups: sent.Recipients.Groups, Selection: sent.Recipients.Digest(), Nonce: events.NewNonce()}
	for no := range block.No(citedBlocks) {
		b := events.CitedBlock{No: no, Roster: c.roots[no]}
		for place := range block.Size {
			if n := no.At(place); n%2 == 0 || n == 1 {
				b.Members.Add(place)
			}
		}
		body.Blocks = append(body.Blocks, b)
	}
	s := sending{sent, events.AudienceResolved{MessageID: m, Included: map[string]int{}, Excluded: map[string]int{}, Directory: c.directory, Day: noon.Format(time.DateOnly)}, body}
	change(&s)
	count := 0
	for i := range s.body.Blocks {
		count += s.body.Blocks[i].Members.Count()
	}
	manifest := sha256.New()
	bodies := []events.Body{s.sent, &s.resolved}
	if count > 0 {
		chunk := sha256.Sum256(must(json.Marshal(s.body))(t))
		manifest.Write(chunk[:])
		bodies = append(bodies, s.body)
		s.resolved.Chunks = 1
	}
	s.resolved.Count, s.resolved.ManifestDigest = count, "sha256:"+hex.EncodeToString(manifest.Sum(nil))
	all := []events.Event{}
	for i, b := range append(bodies, events.FanoutCompleted{MessageID: m, Deliveries: count, Chunks: s.resolved.Chunks}) {
		e := must(events.New("/test", "process:test", noon.Add(time.Duration(i)*time.Second), b))(t)
		if e.IsByBlock() {
			e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
		}
		all = append(all, e)
	}
	return all
}

// verified verifies the record with the key of the rosters' secrets.
func (c *cited) verified() (report verify.Report) {
	c.t.Helper()
	c.serve(func(log *eventlog.Log) {
		v := c.verifier(log, nil)
		v.Content = c.content
		report = must(v.Run(c.t.Context()))(c.t)
	})
	return report
}

// says reports whether a fault of the report says something.
func says(report verify.Report, what string) bool {
	return slices.ContainsFunc(report.Faults, func(f verify.Fault) bool { return strings.Contains(f.What, what) })
}

// The audience of a group is evaluated again on the rosters that were cited. A portal user who
// got the message without a reason, or did not get it against one, is named.
func TestAudiencesAreEvaluatedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*cited, *events.DeliveriesByBlock)
		says   string
	}{
		"nothing":          {func(*cited, *events.DeliveriesByBlock) {}, ""},
		"a member added":   {func(_ *cited, b *events.DeliveriesByBlock) { b.Blocks[1].Members.Add(2) }, "to portal user pu-253 (number 253) without a reason"},
		"a member removed": {func(_ *cited, b *events.DeliveriesByBlock) { b.Blocks[2].Members.Remove(9) }, "not delivered to portal user pu-510 (number 510), who on 2026-03-01 was in one of the groups"},
		"one chosen by id removed": {func(_ *cited, b *events.DeliveriesByBlock) { b.Blocks[0].Members.Remove(0) },
			"not delivered to portal user pu-1 (number 1), who was chosen by id"},
		"another day": {func(_ *cited, b *events.DeliveriesByBlock) { b.Day = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) }, "of another day than its audience, which is of 2026-03-01"},
		"other groups": {func(_ *cited, b *events.DeliveriesByBlock) { b.Groups = []string{"all_portal_users"} },
			"for other groups or recipients than message"},
		"an unknown group":  {func(_ *cited, b *events.DeliveriesByBlock) { b.Groups = []string{"everybody"} }, `unknown group "everybody"`},
		"another selection": {func(_ *cited, b *events.DeliveriesByBlock) { b.Selection = digest }, "for other groups or recipients than message"},
		"the roster of another block": {func(_ *cited, b *events.DeliveriesByBlock) { b.Blocks[2].Roster = b.Blocks[1].Roster },
			"it cites for block 2 the roster"},
		"another root": {func(c *cited, b *events.DeliveriesByBlock) {
			b.Blocks[1].Roster = sha256.Sum256([]byte("x")) // under which the right roster is stored
			c.exec(`UPDATE app.rosters SET root = $1 WHERE block = 1`, b.Blocks[1].Roster[:])
		}, "the secret of roster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newCited(t)
			clinic.publish(clinic.message(t, func(b *events.DeliveriesByBlock) { c.change(clinic, b) })...)
			report := clinic.verified()
			if c.says == "" {
				if !report.OK || report.Rosters != citedBlocks || report.RostersMissing != 0 || report.Deliveries != 376 {
					t.Errorf("it says %+v", report)
				}
				return
			}
			if report.OK || report.Faults[0].Where != "event 3" || !says(report, c.says) {
				t.Errorf("it says %+v", report.Faults)
			}
			if !strings.Contains(report.Advice, "the record is what was written") {
				t.Errorf("it advises %s", report.Advice)
			}
		})
	}
}

// A roster that says something else than the one that was cited, under the same root and with
// the right digests of its own, does not have that root.
func TestAnExchangedRosterIsFound(t *testing.T) {
	t.Parallel()
	c := newCited(t)
	c.publish(c.message(t, nil)...)
	people := []roster.Person{}
	if err := c.rosters[1].Visit(func(p *roster.Person) bool {
		one := *p
		one.Links = slices.Clone(p.Links)
		people = append(people, one)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	people[7].Addressed = true // changes nobody's group
	other := must(roster.Make(1, people))(t)
	facts := other.FactsDigest()
	contents := roster.Content(1, facts, other.NamesDigest())
	c.exec(`INSERT INTO app.roster_facts (digest, facts) VALUES ($1, $2)`, facts[:], other.Facts)
	c.exec(`UPDATE app.rosters SET facts = $1, content = $2 WHERE block = 1`, facts[:], contents[:])
	report := c.verified()
	if report.OK || !strings.Contains(report.Faults[0].What, "is another one: its root is") {
		t.Errorf("it says %+v", report.Faults)
	}
}

// Without a roster, or with one whose bytes were changed, the record still holds, and the report
// says which roster is missing and for which event.
func TestMissingRostersAreListed(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"missing":           `DELETE FROM app.rosters WHERE block = 1`,
		"changed":           `UPDATE app.rosters SET content = sha256('x') WHERE block = 1`,
		"another's objects": `UPDATE app.rosters SET facts = (SELECT facts FROM app.rosters WHERE block = 2) WHERE block = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCited(t)
			c.publish(c.message(t, nil)...)
			c.publish(c.message(t, func(b *events.DeliveriesByBlock) { b.Blocks[2].Members.Add(0) })...)
			c.exec(lose)
			report := c.verified()
			if report.RostersMissing != 1 || report.Rosters != citedBlocks-1 || len(report.MissingRosters) != 1 ||
				report.MissingRosters[0].Seq != 3 || !strings.Contains(report.MissingRosters[0].What, c.roots[1].String()+" of block 1") {
				t.Errorf("it says %+v", report)
			}
			if len(report.Faults) != 1 || !strings.Contains(report.Faults[0].What, "pu-501 (number 501) without a reason") {
				t.Errorf("of the blocks that can be evaluated it says %+v", report.Faults)
			}
		})
	}
}

// From a checkpoint on, the audiences of the later deliveries are evaluated, also of a message
// that was sent before.
func TestAudiencesSinceACheckpoint(t *testing.T) {
	t.Parallel()
	c := newCited(t)
	all := c.message(t, func(b *events.DeliveriesByBlock) { b.Blocks[1].Members.Add(2) })
	c.publish(all[:2]...)
	before := c.newest()
	c.publish(all[2:]...)
	if report := c.verify(c.url, before); report.OK || !strings.Contains(report.Faults[0].What, "pu-253 (number 253) without a reason") {
		t.Errorf("it says %+v", report)
	}
	if report := c.verify(c.url, c.newest()); !report.OK {
		t.Errorf("after that it says %+v", report.Faults)
	}
}

// drop takes the deliveries of a block out of a message.
func drop(s *sending, no block.No) {
	s.body.Blocks = slices.DeleteFunc(s.body.Blocks, func(b events.CitedBlock) bool { return b.No == no })
}

// The rest of the directory that an audience cites is evaluated too: a portal user who was left out
// where no one else of the block got the message is named, in a group or chosen by id.
func TestTheRestOfTheDirectoryIsEvaluated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*cited, *sending)
		where  string // the first fault
		says   []string
	}{
		"an empty directory": {func(c *cited, s *sending) {
			s.sent.Recipients.Groups = []string{"active_patients"}
			s.body.Groups, s.body.Selection = s.sent.Recipients.Groups, s.sent.Recipients.Digest()
			s.body.Blocks = nil
			s.sent.Recipients.PortalUserIDs = []string{}
			s.resolved.Directory = c.state(c.t, func(roster.State) roster.State { return nil })
		}, "", nil},
		"a block left out": {func(_ *cited, s *sending) { drop(s, 2) }, "event 2",
			[]string{"is not delivered to portal user pu-502 (number 502), who on 2026-03-01 was in one of the groups [discharged_patients] (discharged_patient)"}},
		"everyone left out": {func(_ *cited, s *sending) { s.body.Blocks = nil }, "event 2",
			[]string{"is not delivered to portal user pu-2 (number 2), who on 2026-03-01 was in one of the groups"}},
		"one chosen by id whom no one else joins": {func(_ *cited, s *sending) {
			s.body.Day = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) // no link has begun
			s.resolved.Day = "2025-12-31"
			s.sent.Recipients.PortalUserIDs = []string{"pu-1", "pu-251"}
			s.body.Selection = s.sent.Recipients.Digest()
			s.body.Blocks = s.body.Blocks[:1]
			s.body.Blocks[0].Members = block.Members{}
			s.body.Blocks[0].Members.Add(0)
		}, "event 2", []string{"is not delivered to portal user pu-251, who was chosen by id"}},
		"a block that the state does not have": {func(c *cited, s *sending) {
			s.resolved.Directory = c.state(c.t, func(state roster.State) roster.State { return state[:2] })
		}, "event 3", []string{"cite block 2, which its audience's state of the directory"}},
		"another roster of a block": {func(c *cited, s *sending) {
			s.resolved.Directory = c.state(c.t, func(state roster.State) roster.State { state[1].Root = state[0].Root; return state })
		}, "event 3", []string{"cite for block 1 the roster"}},
		"a roster of another block in the rest": {func(c *cited, s *sending) {
			s.resolved.Directory = c.state(c.t, func(state roster.State) roster.State { state[2].Root = state[1].Root; return state })
			drop(s, 2)
		}, "event 2", []string{"it cites for block 2 the roster"}},
		"the state of another day": {func(_ *cited, s *sending) { s.resolved.Day = "2026-03-02" }, "event 3", []string{"are of another day than its audience, which is of 2026-03-02"}},
		"no audience of groups": {func(_ *cited, s *sending) {
			s.sent.Recipients.Groups, s.body.Blocks = []string{}, nil
		}, "event 2", []string{"cites the directory, and the message was sent to the groups []"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newCited(t)
			clinic.publish(clinic.changed(t, func(s *sending) { c.change(clinic, s) })...)
			report := clinic.verified()
			if report.RostersMissing > 0 || report.AudiencesInPart > 0 {
				t.Errorf("it says %+v", report)
			}
			if report.OK != (c.where == "") {
				t.Fatalf("it says %+v", report.Faults)
			}
			if !report.OK && report.Faults[0].Where != c.where {
				t.Errorf("it says %+v", report.Faults)
			}
			for _, what := range c.says {
				if !says(report, what) {
					t.Errorf("of %q it says nothing: %+v", what, report.Faults)
				}
			}
		})
	}
}

// An audience of before, which cites no state of the directory, is evaluated on the blocks of its
// deliveries, and counted.
func TestAudiencesOfVersion1(t *testing.T) {
	t.Parallel()
	c := newCited(t)
	of1 := func(change func(*sending)) []events.Event {
		return c.changed(t, func(s *sending) {
			s.resolved.Directory, s.resolved.Day = "", ""
			change(s)
		})
	}
	c.publish(of1(func(*sending) {})...)
	c.publish(of1(func(s *sending) { drop(s, 2) })...)
	if report := c.verified(); !report.OK || report.AudiencesInPart != 2 {
		t.Errorf("it says %+v", report)
	}
	c.publish(of1(func(s *sending) { drop(s, 0) })...)
	report := c.verified()
	if report.OK || len(report.Faults) != 1 || !says(report, "is not delivered to portal user pu-1, who was chosen by id") {
		t.Errorf("of one who was chosen by id it says %+v", report)
	}
}

// Without the state that it cites, or with a state that was changed, the audience is evaluated on
// the blocks of its deliveries, and the state is listed as missing. So is a roster of the rest
// that was never copied to the content store.
func TestAMissingStateIsListed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ lose, says string }{
		"missing": {`DELETE FROM app.directory_states`, "state sha256:"},
		"changed": {`ALTER TABLE app.directory_states DROP CONSTRAINT directory_states_check; UPDATE app.directory_states SET state = state || '\x00'`, "state sha256:"},
		"of another directory": {`ALTER TABLE app.directory_states DROP CONSTRAINT directory_states_check;
			UPDATE app.directory_states SET state = substr(state, 1, length(state) - 36)`, "state sha256:"},
		"a roster of the rest": {`DELETE FROM app.rosters WHERE block = 2`, "of block 2, on which the audience"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newCited(t)
			for range 2 {
				clinic.publish(clinic.changed(t, func(s *sending) { drop(s, 2); s.body.Blocks[1].Members.Add(0) })...)
			}
			clinic.exec(c.lose)
			report := clinic.verified()
			if report.RostersMissing != 1 || report.MissingRosters[0].Where != "event 2" || !strings.Contains(report.MissingRosters[0].What, c.says) {
				t.Errorf("it says %+v", report.MissingRosters)
			}
			if len(report.Faults) != 2 || !says(report, "pu-251 (number 251) without a reason") {
				t.Errorf("of the deliveries it says %+v", report.Faults)
			}
		})
	}
}

// From a checkpoint on, the rest of the directory is evaluated for the messages whose last delivery
// comes later.
func TestTheRestSinceACheckpoint(t *testing.T) {
	t.Parallel()
	c := newCited(t)
	all := c.changed(t, func(s *sending) { drop(s, 2) })
	c.publish(all[:2]...)
	before := c.newest()
	c.publish(all[2])
	after := c.newest()
	c.publish(all[3])
	if report := c.verify(c.url, before); report.OK || report.Faults[0].Where != "event 2" || !says(report, "pu-502 (number 502), who on") {
		t.Errorf("it says %+v", report)
	}
	if report := c.verify(c.url, after); !report.OK {
		t.Errorf("after the last delivery it says %+v", report)
	}
}
