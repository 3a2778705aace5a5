package verify_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/eventlog"
	"postern/internal/proof/archive"
	"postern/internal/proof/merkle"
	"postern/internal/store/bucket/s3test"
)

// inTheStream changes one byte of an event as an administrator of the server could.
func (c *clinic) inTheStream(seq uint64) {
	c.t.Helper()
	c.rewrite(func(all []eventlog.Stored) []eventlog.Stored {
		all[seq-1].Data = changed(all[seq-1].Data)
		return all
	})
}

func changed(body []byte) []byte { return bytes.Replace(body, []byte("pu-2"), []byte("pu-7"), 1) }

// inTheCopy changes the same byte in Postgres, with leaf and tree, as its administrator
// could.
func (c *clinic) inTheCopy(seq uint64) {
	c.t.Helper()
	var stored []byte
	if err := c.pool.QueryRow(c.t.Context(), `SELECT stored FROM record.events WHERE seq = $1`, seq).Scan(&stored); err != nil {
		c.t.Fatal(err)
	}
	e := must(merkle.Unpack(seq, stored))(c.t)
	e.Data = changed(e.Data)
	leaf := merkle.Leaf(&e)
	c.exec(`UPDATE record.events SET stored = $2, leaf = $3 WHERE seq = $1`, seq, must(merkle.Pack(&e))(c.t), leaf[:])

	rows, err := c.pool.Query(c.t.Context(), `SELECT leaf FROM record.events ORDER BY seq`)
	leaves := must(pgx.CollectRows(rows, pgx.RowTo[[]byte]))(c.t)
	if err != nil {
		c.t.Fatal(err)
	}
	tree, idx := &merkle.Tree{}, 0
	for _, leaf := range leaves {
		for _, h := range tree.Append(tlog.Hash(leaf)) {
			c.exec(`UPDATE record.hashes SET hash = $2 WHERE idx = $1`, idx, h[:])
			idx++
		}
	}
}

// inTheArchive changes the byte in the segments, with matching names.
func (c *clinic) inTheArchive(seq uint64) {
	c.t.Helper()
	a := must(archive.Open(c.t.Context(), c.archive))(c.t)
	defer func() { _ = a.Close() }()
	all, _, err := a.Segments(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all {
		var segment []byte
		err := a.ReadSegment(c.t.Context(), s, func(at uint64, stored []byte) error {
			if at == seq {
				e := must(merkle.Unpack(at, stored))(c.t)
				e.Data = changed(e.Data)
				stored = must(merkle.Pack(&e))(c.t)
			}
			segment = archive.AppendEvent(segment, at, stored)
			return nil
		})
		if err == nil {
			err = os.Remove(filepath.Join(c.archive, s.Name))
		}
		if err == nil {
			err = a.PutSegment(c.t.Context(), s.First, s.Last, segment)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// The stream, the copy and the archive each have every event. If one of them was changed,
// the report says which of them match the checkpoints, and what to run.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const chunk = 3
	for name, c := range map[string]struct {
		tamper func(*clinic)
		where  string // the place of the first fault with the event
		says   string
		advice string
	}{
		"the stream changed": {func(c *clinic) { c.inTheStream(chunk) }, "event 3",
			"the checkpoint of 8 events confirms the copy in Postgres and the archive, and not the stream", "run `postern repair`"},
		"the stream cut": {func(c *clinic) {
			c.rewrite(func(all []eventlog.Stored) []eventlog.Stored { return all[:12] })
		}, "event 13", "the checkpoint of 18 events confirms the copy in Postgres and the archive", "run `postern repair`"},
		"the copy changed": {func(c *clinic) {
			c.exec(`UPDATE record.events SET stored = (SELECT stored FROM record.events WHERE seq = 4) WHERE seq = 3`)
		}, "record.events (event 3)", "confirms the stream and the archive, and not the copy in Postgres", "do NOT run `postern repair`. Restore a backup of Postgres"},
		"the copy changed with its tree": {func(c *clinic) { c.inTheCopy(chunk) }, "event 3",
			"confirms the stream and the archive, and not the copy in Postgres", "do NOT run `postern repair`. Restore a backup of Postgres"},
		"an event's copy deleted": {func(c *clinic) { c.exec(`DELETE FROM record.events WHERE seq = 3`) }, "event 3",
			"confirms the stream and the archive", "do NOT run `postern repair`"},
		"both changed in the same way": {func(c *clinic) { c.inTheStream(chunk); c.inTheCopy(chunk) }, "event 3",
			"the checkpoint of 8 events confirms the archive, and not the stream and the copy in Postgres",
			"neither the stream nor the copy matches the checkpoints; the archive does, up to event 18"},
		"each changed in another event": {func(c *clinic) { c.inTheStream(chunk); c.inTheCopy(11) }, "event 3",
			"confirms the copy in Postgres and the archive, and not the stream", "neither the stream nor the copy"},
		"the archive changed": {func(c *clinic) { c.inTheArchive(chunk) }, "the archive's segments/",
			"confirms the stream and the copy in Postgres, and not the archive", "the fault is in the archive"},
		"all three changed in the same way": {func(c *clinic) { c.inTheStream(chunk); c.inTheCopy(chunk); c.inTheArchive(chunk) }, "the archive's checkpoints/",
			"is not what was signed", "none of the three matches the checkpoints"},
		"a table changed": {func(c *clinic) { c.exec(`DELETE FROM record.opens`) }, "record.opens", "is missing", "run `postern rebuild`"},
		"the archive deleted": {func(c *clinic) {
			if err := os.RemoveAll(c.archive); err != nil {
				c.t.Fatal(err)
			}
		}, "the archive", "2 checkpoints are missing, the first is the checkpoint of 8 events", "the fault is in the archive"},
		"a segment deleted": {func(c *clinic) {
			file := must(filepath.Glob(filepath.Join(c.archive, "segments", "*")))(c.t)[0]
			if err := os.Remove(file); err != nil {
				c.t.Fatal(err)
			}
		}, "the archive", "no segment has events", "the fault is in the archive"},
		"a foreign object in the archive": {func(c *clinic) {
			if err := os.WriteFile(filepath.Join(c.archive, "segments", "note.txt"), nil, 0o600); err != nil {
				c.t.Fatal(err)
			}
		}, "the archive's segments/note.txt", "only the recorder", "the fault is in the archive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newClinic(t)
			clinic.publish(bulkMessage(t, 2)...)
			clinic.publish(bulkMessage(t, 3)...)
			clinic.seal()
			c.tamper(clinic)
			report := clinic.verify(clinic.url, nil)
			if report.OK {
				t.Fatal("nothing was found")
			}
			if !strings.Contains(report.Advice, c.advice) {
				t.Errorf("it advises: %s", report.Advice)
			}
			for _, f := range report.Faults {
				if strings.HasPrefix(f.Where, c.where) && strings.Contains(f.What, c.says) {
					return
				}
			}
			t.Errorf("it says %q", report.Faults)
		})
	}
}

// With the archive on S3 the results are the same as with a folder.
func TestAnArchiveOnS3(t *testing.T) {
	t.Parallel()
	s3 := s3test.New(t)
	c := newClinic(t)
	c.archive = s3.URL
	c.publish(bulkMessage(t, 2)...)
	c.publish(bulkMessage(t, 3)...)
	c.seal()
	if report := c.verify(c.url, nil); !report.OK || report.Checkpoints != 2 || report.Segments != 1 {
		t.Fatalf("it says %+v", report)
	}
	a := must(archive.Open(t.Context(), c.archive))(t)
	defer func() { _ = a.Close() }()
	signed, _, err := a.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := must(a.Read(t.Context(), signed[0].Name))(t)
	s3.Put(t, signed[0].Name, strings.Replace(string(text), "\n8\n", "\n7\n", 1))
	if f := c.verify(c.url, nil).Faults; len(f) == 0 || f[0].Where != "the archive's "+signed[0].Name {
		t.Errorf("the faults of a forged checkpoint are %v", f)
	}
	s3.Put(t, signed[0].Name, string(text))
	s3.Delete(t, signed[0].Name)
	if f := c.verify(c.url, nil).Faults; len(f) != 1 || !strings.Contains(f[0].What, "the first is the checkpoint of 8 events") {
		t.Errorf("the faults of a deleted checkpoint are %v", f)
	}
	// A broken connection is not reported as an empty archive.
	s3.Fail(s3test.Unreachable)
	c.serve(func(log *eventlog.Log) {
		if report, err := c.verifier(log, nil).Run(t.Context()); err == nil {
			t.Errorf("with an unreachable archive the report is %+v", report)
		}
	})
}
