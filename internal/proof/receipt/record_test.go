package receipt_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/receipt"
)

// written is a record in memory that its owner may write as they please, with the key that
// signs it: also one of which the parts do not agree.
type written struct {
	keys   *checkpoint.Keys
	events []merkle.Stored
	hashes []tlog.Hash
}

func newWritten(t testing.TB) *written {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if _, err := checkpoint.CreateKeyFile(file, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	keys, err := checkpoint.ReadKeyFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return &written{keys: keys}
}

func (w *written) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = w.hashes[index]
	}
	return found, nil
}

// add appends an event to the record, and returns its sequence.
func (w *written) add(t testing.TB, body events.Body) uint64 {
	t.Helper()
	e, err := events.New("/test", "process:test", day.Add(time.Duration(len(w.events))*time.Second), body)
	if err != nil {
		t.Fatal(err)
	}
	switch b := body.(type) {
	case events.DeliveriesByBlock:
		e.Chunk = &events.ChunkRef{Index: b.Chunk, Of: b.Chunk + 1}
	case events.DeliveriesCreated:
		e.Chunk = &events.ChunkRef{Index: b.Chunk, Of: b.Chunk + 1}
	}
	header := e.Header()
	maps.DeleteFunc(header, func(name string, _ []string) bool { return !merkle.OwnHeader(name) })
	s := merkle.Stored{Seq: uint64(len(w.events)) + 1, Subject: e.Subject(), Header: header, Data: e.Data}
	hashes, err := tlog.StoredHashesForRecordHash(int64(len(w.events)), merkle.Leaf(&s), w)
	if err != nil {
		t.Fatal(err)
	}
	w.events, w.hashes = append(w.events, s), append(w.hashes, hashes...)
	return s.Seq
}

// receipt makes the receipt of a delivery from some events, unfinished.
func (w *written) receipt(t testing.TB, message uuid.UUID, portalUser string, entry *receipt.Entry, seqs ...uint64) *receipt.Receipt {
	t.Helper()
	size := int64(len(w.events))
	root, err := tlog.TreeHash(size, w)
	if err != nil {
		t.Fatal(err)
	}
	r := &receipt.Receipt{MessageID: message, PortalUserID: portalUser, IssuedAt: day, Entry: entry}
	if r.Checkpoint, err = (checkpoint.Checkpoint{Size: uint64(size), Root: root}).Sign(w.keys.Signer); err != nil {
		t.Fatal(err)
	}
	for _, seq := range seqs {
		e := receipt.Show(&w.events[seq-1])
		proof, err := tlog.ProveRecord(size, int64(seq)-1, w)
		if err != nil {
			t.Fatal(err)
		}
		r.Prove(&e, proof)
		r.Events = append(r.Events, e)
	}
	return r
}

var day = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

// uuidOf is the id of the nth portal user, as random as those of a real directory.
func uuidOf(no int32) string { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, no)).String() }

func unpadded(raw []byte) string { return base64.RawStdEncoding.EncodeToString(raw) }

// citedRoster is a full block of a directory. Every portal user is linked to one patient of the
// same id. The patients with an even number are discharged.
type citedRoster struct {
	roster.Roster
	secret roster.Secret
	root   roster.Digest
}

func rosterOf(t testing.TB, no block.No) *citedRoster {
	t.Helper()
	people := make([]roster.Person, block.Size)
	for i := range people {
		n := no.At(i)
		people[i] = roster.Person{No: n, ID: uuidOf(n), Active: true, Addressed: true, Links: []roster.Link{{PatientNo: n, PatientID: uuidOf(n), Self: true,
			From: field.DateOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Discharged: n%2 == 0}}}
	}
	r, err := roster.Make(no, people)
	if err != nil {
		t.Fatal(err)
	}
	c := &citedRoster{Roster: r, secret: roster.NewSecret()}
	if c.root, err = r.Root(c.secret); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *citedRoster) entry(t testing.TB, no int32) *receipt.Entry {
	t.Helper()
	proof, err := c.Prove(c.secret, no)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.NewEntry(c.Block, proof)
}

func (c *citedRoster) cited(members ...int32) events.CitedBlock {
	b := events.CitedBlock{No: c.Block, Roster: c.root}
	for _, no := range members {
		_, place := block.Of(no)
		b.Members.Add(place)
	}
	return b
}
