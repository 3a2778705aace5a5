package verify_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/store/storetest"
)

// rewrite replaces the stream by a changed one, as an administrator of the server could: its
// files are intact but have other events.
func (c *clinic) rewrite(change func([]eventlog.Stored) []eventlog.Stored) {
	c.t.Helper()
	var all []eventlog.Stored
	c.serve(func(log *eventlog.Log) {
		state := must(log.State(c.t.Context()))(c.t)
		for seq := uint64(1); seq <= state.Last; seq++ {
			all = append(all, must(log.Get(c.t.Context(), seq))(c.t))
		}
	})
	c.nats = c.t.TempDir()
	c.serve(func(log *eventlog.Log) {
		for _, s := range change(all) {
			msg := natsMsg(s)
			if _, err := log.JetStream().PublishMsg(c.t.Context(), msg); err != nil {
				c.t.Fatal(err)
			}
		}
	})
}

// A record of two messages, signed twice and sealed, is changed in many ways. For each the
// report says what is wrong, and where.
func TestTampering(t *testing.T) {
	t.Parallel()
	const chunk = 3 // the first message's first chunk
	for name, c := range map[string]struct {
		tamper func(*clinic)
		where  string // the place of the first fault
		says   string
	}{
		"nothing": {func(*clinic) {}, "", ""},
		"one byte of a stored event in the stream's files": {func(c *clinic) {
			file := must(filepath.Glob(filepath.Join(c.nats, "jetstream", "*", "streams", eventlog.Stream, "msgs", "*.blk")))(c.t)[0]
			data := must(os.ReadFile(file))(c.t)
			data[bytes.Index(data, []byte(`"recipients":[["pu-1"`))+20] = '9'
			if err := os.WriteFile(file, data, 0o600); err != nil {
				c.t.Fatal(err)
			}
		}, "event ", "missing from the stream"},
		"one byte of a stored event, by the server's administrator": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored {
				all[chunk-1].Data = bytes.Replace(all[chunk-1].Data, []byte("pu-1"), []byte("pu-9"), 1)
				return all
			})
		}, "event 3", "does not say what the copy"},
		"a header of a stored event": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored {
				all[0].Header.Set("ce-actor", "staff:eve")
				return all
			})
		}, "event 1", "does not say what the copy"},
		"an event dropped": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored { return append(all[:4], all[5:]...) })
		}, "event 18", "is missing from the stream"},
		"the last event dropped": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored { return all[:len(all)-1] })
		}, "event 18", "is missing from the stream"},
		"two events swapped": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored { all[6], all[7] = all[7], all[6]; return all })
		}, "event 7", "does not say what the copy"},
		"a row in Postgres": {func(c *clinic) {
			c.exec(`UPDATE record.messages SET sent_at = sent_at + interval '1 day' WHERE message_id = (SELECT max(message_id::text)::uuid FROM record.messages)`)
		}, "record.messages", "is changed"},
		"an opening deleted": {func(c *clinic) {
			c.exec(`DELETE FROM record.opens WHERE message_id = (SELECT max(message_id::text)::uuid FROM record.opens)`)
		}, "record.opens", "is missing"},
		"a delivery deleted": {func(c *clinic) {
			c.exec(`UPDATE record.inbox SET members = record.members_of('{1,3}'), patients = '{1,0,3,0}' WHERE chunk = 0`)
		}, "record.inbox (event 3)", "chunk 0: the delivery to portal user number 2 is missing"},
		"all deliveries of a chunk to a block deleted": {func(c *clinic) { c.exec(`DELETE FROM record.inbox WHERE chunk = 1`) },
			"record.inbox (event 4)", "chunk 1: the delivery to portal user number 4 is missing"},
		"an invented delivery": {func(c *clinic) {
			c.exec(`UPDATE record.inbox SET members = record.members_of('{1,2,3,99}'), patients = patients || '{3,0}' WHERE chunk = 0`)
		}, "record.inbox (event 3)", "portal user number 99 is not of the record"},
		"invented deliveries to another block": {func(c *clinic) {
			c.exec(`INSERT INTO record.inbox SELECT message_id, 7, 0, chunk, record.members_of('{1756}'), '{3,0}' FROM record.inbox WHERE chunk = 0`)
		}, "record.inbox (event 3)", "portal user number 1756 is not of the record"},
		"a delivery's patients": {func(c *clinic) { c.exec(`UPDATE record.inbox SET patients = '{4,0,7,0,6,0}' WHERE chunk = 1`) },
			"record.inbox (event 4)", "portal user number 5 is changed"},
		"patients of no delivery": {func(c *clinic) { c.exec(`UPDATE record.inbox SET patients = patients || '{7,0}' WHERE chunk = 1`) },
			"record.inbox (event 4)", "block 0: it has patients of no delivery"},
		"the chunk of some deliveries": {func(c *clinic) { c.exec(`UPDATE record.inbox SET chunk = 5 WHERE chunk = 0`) },
			"record.inbox (event 3)", "block 0: its deliveries are of chunk 5 instead of 0"},
		"the number of openings": {func(c *clinic) { c.exec(`UPDATE record.inbox SET opened = 3 WHERE chunk = 0`) },
			"record.inbox (event 3)", "block 0: it counts 3 openings instead of 1"},
		"the copy of an event": {func(c *clinic) {
			c.exec(`UPDATE record.events SET stored = (SELECT stored FROM record.events WHERE seq = 3) WHERE seq = 4`)
		}, "record.events (event 4)", "was changed"},
		"an event's copy and its leaf deleted": {func(c *clinic) { c.exec(`DELETE FROM record.events WHERE seq = 4`) }, "event 4", "does not say what the copy"},
		"a hash of the tree":                   {func(c *clinic) { c.exec(`UPDATE record.hashes SET hash = sha256('x') WHERE idx = 5`) }, "record.hashes", "idx 5"},
		"a checkpoint forged with another key": {func(c *clinic) {
			other := filepath.Join(c.t.TempDir(), "key")
			must(checkpoint.CreateKeyFile(other, "clinic.example/record"))(c.t)
			forged := must(checkpoint.Checkpoint{Size: 4}.Sign(must(checkpoint.ReadKeyFile(other))(c.t).Signer))(c.t)
			c.exec(`INSERT INTO app.checkpoints (size, root, signed) VALUES (4, sha256('x'), $1)`, forged)
		}, "checkpoint 3 in Postgres", "not signed by a known key"},
		"a checkpoint of another history, with the stolen key": {func(c *clinic) {
			forged := must(checkpoint.Checkpoint{Size: 4}.Sign(c.keys().Signer))(c.t)
			c.exec(`INSERT INTO app.checkpoints (size, root, signed) VALUES (4, sha256('x'), $1)`, forged)
		}, "checkpoint 3 in Postgres", "is not what was signed"},
		"a checkpoint in the archive": {func(c *clinic) { c.spoil("checkpoints") }, "the archive's checkpoints/", "not signed"},
		"a segment in the archive":    {func(c *clinic) { c.spoil("segments") }, "the archive's segments/", "not what its name says"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newClinic(t)
			clinic.publish(bulkMessage(t, 2)...)
			clinic.publish(bulkMessage(t, 3)...)
			clinic.seal()
			c.tamper(clinic)
			report := clinic.verify(clinic.url, nil)
			if c.where == "" {
				if !report.OK || report.Checkpoints != 2 || report.Segments == 0 || report.Deliveries != 15 || report.Signed != 18 {
					t.Errorf("it says %+v", report)
				}
				return
			}
			if report.OK {
				t.Fatal("nothing was found")
			}
			if first := report.Faults[0]; !strings.HasPrefix(first.Where, c.where) || !strings.Contains(first.String(), c.says) {
				t.Errorf("the first of %d faults is %q", len(report.Faults), first)
			}
		})
	}
}

// spoil changes one byte of the first file below a folder of the archive.
func (c *clinic) spoil(folder string) {
	c.t.Helper()
	file := must(filepath.Glob(filepath.Join(c.archive, folder, "*")))(c.t)[0]
	if info := must(os.Stat(file))(c.t); info.IsDir() {
		file = must(filepath.Glob(filepath.Join(file, "*")))(c.t)[0]
	}
	data := must(os.ReadFile(file))(c.t)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// An administrator of both stores replaces them by yesterday's copies. They agree with one
// another, and only the checkpoints signed since show it.
func TestRolledBackToYesterday(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.publish(bulkMessage(t, 2)...)
	yesterday := copyTree(t, c.nats)
	// Another recorder has the same results from the longer stream.
	c.serve(func(log *eventlog.Log) {
		last := must(log.Publish(t.Context(), bulkMessage(t, 3)...))(t)
		c.record(log, storetest.New(t), last)
	})
	c.nats = yesterday
	report := c.verify(c.url, nil)
	if report.OK {
		t.Fatal("nothing was found")
	}
	if first := report.Faults[0]; first.Seq != 9 || !strings.Contains(first.What, "events 9 to 18 are gone") {
		t.Errorf("the first fault is %q", first)
	}
	if !strings.Contains(report.Advice, "end at event 8: both were put back to then") {
		t.Errorf("it advises %s", report.Advice)
	}
}

// With an earlier checkpoint, only later events are checked, and their faults are found.
func TestSince(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	first := bulkMessage(t, 2)
	c.publish(first[:3]...) // in the middle of the first message
	before := c.newest()
	c.publish(append(first[3:], bulkMessage(t, 3)...)...)
	report := c.verify(c.url, before)
	if !report.OK || report.From != 4 || report.To != 18 || report.Deliveries != 12 || report.Checkpoints != 1 {
		t.Errorf("it says %+v", report)
	}
	c.exec(`UPDATE record.inbox SET members = record.members_of('{4,5}'), patients = '{4,0,5,0}' WHERE chunk = 1`)
	report = c.verify(c.url, before)
	if report.OK || report.Faults[0].Where != "record.inbox (event 4)" {
		t.Errorf("the report of a deleted delivery is %+v", report)
	}
	c.exec(`UPDATE record.hashes SET hash = sha256('x') WHERE idx = 0`)
	c.exec(`UPDATE record.hashes SET hash = sha256('x') WHERE idx = 2`)
	c.serve(func(log *eventlog.Log) {
		// If the tree does not match the checkpoint, the verification can't continue from it.
		v := c.verifier(log, before)
		if _, err := v.Run(t.Context()); err == nil {
			t.Error("the verification continued from another tree")
		}
	})
}

// opening is the event of an opening by a portal user.
func opening(t *testing.T, message uuid.UUID, no int32) events.Event {
	t.Helper()
	return must(events.New("/test", "process:test", noon, events.DeliveryOpened{MessageID: message, PortalUserID: "pu", PortalUserNo: no}))(t)
}

// From the sent message to its alerts and openings, an event without its predecessor is
// reported.
func TestTraces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of   func([]events.Event) []events.Event
		says string
	}{
		"deliveries without an audience": {func(b []events.Event) []events.Event { return append(b[:1:1], b[2:]...) }, "audience was never frozen"},
		"a chunk left out":               {func(b []events.Event) []events.Event { return append(b[:2:2], b[3:]...) }, "where chunk 0 of 2 was due"},
		"a message that was not sent":    {func(b []events.Event) []events.Event { return b[1:] }, "was not sent before"},
		"an opening without a delivery":  {func(b []events.Event) []events.Event { return append(b, opening(t, b[0].MessageID, 7)) }, "never delivered to portal user number 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newClinic(t)
			clinic.publish(c.of(bulkMessage(t, 2))...)
			report := clinic.verify(clinic.url, nil)
			if report.OK || !strings.Contains(report.Faults[0].What, c.says) {
				t.Errorf("it says %+v", report.Faults)
			}
		})
	}
}
