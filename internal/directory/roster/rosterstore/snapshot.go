package rosterstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/block"
	"postern/internal/directory/people"
	"postern/internal/directory/roster"
)

// A Snapshot is the directory at one moment. It reads nothing that was committed later. Close
// it. A Snapshot is not safe for concurrent use.
type Snapshot struct {
	// Tx is the REPEATABLE READ transaction of the snapshot, to read more of the same moment.
	Tx pgx.Tx

	db      directory.Beginner
	listed  bool
	blocks  []listed // ascending
	dirty   int      // how many of them are dirty
	damaged []block.No
}

// listed is a block that has a current roster, or is dirty, or both.
type listed struct {
	no    block.No
	root  roster.Digest // of its current roster, if it is clean
	dirty bool
	mark  int64 // if it is dirty
}

// Block is a block in a snapshot.
type Block struct {
	// Roster is what the directory says of the block. A roster that was read has no names, and
	// one that was built from the tables has them.
	roster.Roster
	// Root is the root of the current roster, zero if the roster was built: [Store.Put] gives
	// it one.
	Root roster.Digest
}

// Built reports whether the roster was built from the tables, because the block is dirty.
func (b *Block) Built() bool { return b.Root == roster.Digest{} }

var reading = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// Open takes a snapshot. It uses one connection, and for a short time a second one where many
// blocks are dirty.
func Open(ctx context.Context, db directory.Beginner) (*Snapshot, error) {
	tx, err := db.BeginTx(ctx, reading)
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot of the directory: %w", err)
	}
	return &Snapshot{Tx: tx, db: db}, nil
}

// list finds the blocks, once.
func (s *Snapshot) list(ctx context.Context) error {
	if s.listed {
		return nil
	}
	s.listed = true
	rows, err := s.Tx.Query(ctx, `
		SELECT block, b.root, d.mark FROM app.block_rosters b FULL JOIN app.dirty_blocks d USING (block) ORDER BY block`)
	if err != nil {
		return fmt.Errorf("listing the blocks of the directory: %w", err)
	}
	var no int32
	var root []byte
	var mark *int64
	_, err = pgx.ForEachRow(rows, []any{&no, &root, &mark}, func() error {
		l := listed{no: block.No(no), dirty: mark != nil}
		if l.dirty {
			s.dirty++
			l.mark = *mark
		} else {
			l.root = roster.Digest(root)
		}
		s.blocks = append(s.blocks, l)
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the blocks of the directory: %w", err)
	}
	return nil
}

// Close ends the snapshot. If it has found damaged rosters, it marks their blocks as dirty, so
// that the next pass restores them.
func (s *Snapshot) Close(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	_ = s.Tx.Rollback(ctx)
	if len(s.damaged) == 0 {
		return
	}
	if err := markDirty(ctx, s.db, s.damaged); err != nil {
		slog.Error("the blocks of damaged rosters could not be marked: they are built from the tables each time", "error", err)
	}
	s.damaged = nil
}

func markDirty(ctx context.Context, db directory.Beginner, blocks []block.No) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT app.mark_dirty($1)`, blocks)
		return err
	})
}

// The rosters of a snapshot are read in groups: few blocks first, for readers who soon have
// enough, and then more.
const (
	firstGroup = 16
	mostGroup  = 1024
)

// Blocks calls visit for every block from one on that has portal users, in order, until visit
// returns false. The bytes of a roster stay valid.
func (s *Snapshot) Blocks(ctx context.Context, from block.No, visit func(*Block) bool) error {
	if err := s.list(ctx); err != nil {
		return err
	}
	if from == 0 && s.mostlyDirty() {
		return s.scan(ctx, visit)
	}
	at, _ := slices.BinarySearchFunc(s.blocks, from, func(l listed, no block.No) int { return int(l.no - no) })
	for rest, n := s.blocks[at:], firstGroup; len(rest) > 0; n = min(2*n, mostGroup) {
		group := rest[:min(n, len(rest))]
		rest = rest[len(group):]
		found, err := s.read(ctx, group)
		if err != nil {
			return err
		}
		for i := range found {
			if len(found[i].Facts) > 0 && !visit(&found[i]) {
				return nil
			}
		}
	}
	return nil
}

// mostlyDirty reports whether so many blocks are dirty that all of the directory is read in one
// scan.
func (s *Snapshot) mostlyDirty() bool { return 5*s.dirty > len(s.blocks) && s.dirty > mostGroup/8 }

// read returns the blocks of a group, in order. A block without portal users has no facts.
func (s *Snapshot) read(ctx context.Context, group []listed) ([]Block, error) {
	found := make([]Block, len(group))
	current := 0
	for i, l := range group {
		found[i].Block = l.no
		if !l.dirty {
			current++
		}
	}
	if current > 0 {
		if err := s.readCurrent(ctx, group, found); err != nil {
			return nil, fmt.Errorf("reading the rosters: %w", err)
		}
	}
	var build []block.No
	for i := range found {
		if len(found[i].Facts) > 0 {
			continue
		}
		build = append(build, group[i].no)
		if !group[i].dirty {
			s.damaged = append(s.damaged, group[i].no)
			slog.Error("a stored roster is missing or was changed, and is not used", "block", group[i].no, "root", group[i].root)
		}
	}
	err := s.build(ctx, build, func(r roster.Roster) bool {
		i, _ := slices.BinarySearchFunc(group, r.Block, func(l listed, no block.No) int { return int(l.no - no) })
		found[i].Roster = r
		return true
	})
	return found, err
}

// readCurrent reads the facts of the blocks of a group that are clean, and leaves out what does
// not have its digest.
func (s *Snapshot) readCurrent(ctx context.Context, group []listed, found []Block) error {
	rows, err := s.Tx.Query(ctx, `
		SELECT b.block, b.root, f.digest, f.facts
		FROM app.block_rosters b JOIN app.rosters r ON r.root = b.root AND r.block = b.block JOIN app.roster_facts f ON f.digest = r.facts
		WHERE b.block BETWEEN $1 AND $2 ORDER BY b.block`, pgx.QueryResultFormats{pgx.BinaryFormatCode}, group[0].no, group[len(group)-1].no)
	if err != nil {
		return err
	}
	defer rows.Close()
	i := 0
	for rows.Next() {
		raw := rows.RawValues()
		no := block.No(uint32(raw[0][0])<<24 | uint32(raw[0][1])<<16 | uint32(raw[0][2])<<8 | uint32(raw[0][3])) // #nosec G115 -- the same 32 bits
		for i < len(group) && group[i].no < no {
			i++
		}
		if i == len(group) || group[i].no != no || group[i].dirty || roster.Digest(raw[1]) != group[i].root {
			continue
		}
		if sha256.Sum256(raw[3]) == roster.Digest(raw[2]) {
			found[i].Facts, found[i].Root = slices.Clone(raw[3]), group[i].root
		}
	}
	return rows.Err()
}

// build makes rosters of blocks from the tables, in order, until visit returns false.
func (s *Snapshot) build(ctx context.Context, blocks []block.No, visit func(roster.Roster) bool) error {
	for some := range slices.Chunk(blocks, mostGroup/4) {
		var b builder
		stopped := false
		err := people.InBlocks(ctx, s.Tx, some, func(p *roster.Person) bool {
			stopped = !b.add(p, visit)
			return !stopped
		})
		if err == nil && !stopped {
			stopped = !b.end(visit)
		}
		if err != nil || b.err != nil || stopped {
			return firstOf(err, b.err)
		}
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("building rosters: %w", err)
		}
	}
	return nil
}

// scan builds the rosters of all blocks, and gives those of clean blocks their roots.
func (s *Snapshot) scan(ctx context.Context, visit func(*Block) bool) error {
	second, err := s.alike(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = second.Rollback(context.WithoutCancel(ctx)) }()
	var b builder
	at, stopped := 0, false
	each := func(r roster.Roster) bool {
		for at < len(s.blocks) && s.blocks[at].no < r.Block {
			at++
		}
		one := Block{Roster: r}
		if at < len(s.blocks) && s.blocks[at].no == r.Block {
			one.Root = s.blocks[at].root
		}
		return visit(&one)
	}
	err = people.All(ctx, []pgx.Tx{s.Tx, second}, func(p *roster.Person) bool {
		stopped = !b.add(p, each)
		return !stopped
	})
	if err == nil && !stopped {
		b.end(each)
	}
	return firstOf(err, b.err)
}

// alike begins a transaction that reads the same snapshot
// (https://www.postgresql.org/docs/15/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION).
func (s *Snapshot) alike(ctx context.Context) (pgx.Tx, error) {
	var id string
	if err := s.Tx.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&id); err != nil {
		return nil, fmt.Errorf("sharing a snapshot of the directory: %w", err)
	}
	tx, err := s.db.BeginTx(ctx, reading)
	if err != nil {
		return nil, fmt.Errorf("sharing a snapshot of the directory: %w", err)
	}
	// Postgres made the name; it has only digits and dashes.
	if _, err := tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+id+`'`); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("sharing a snapshot of the directory: %w", err)
	}
	return tx, nil
}

// A builder makes rosters of people who come in order of number.
type builder struct {
	no     block.No
	people []roster.Person
	links  []roster.Link
	err    error
}

// add adds a person. With the first person of another block, it hands over the roster of the
// block before. It returns false to stop.
func (b *builder) add(p *roster.Person, visit func(roster.Roster) bool) bool {
	no, _ := block.Of(p.No)
	if len(b.people) > 0 && no != b.no && !b.end(visit) {
		return false
	}
	b.no = no
	one := *p
	start := len(b.links)
	b.links = append(b.links, p.Links...)
	one.Links = b.links[start:len(b.links):len(b.links)]
	b.people = append(b.people, one)
	return true
}

// end hands over the roster of the last block.
func (b *builder) end(visit func(roster.Roster) bool) bool {
	if len(b.people) == 0 {
		return true
	}
	var r roster.Roster
	r, b.err = roster.Make(b.no, b.people)
	b.people, b.links = b.people[:0], b.links[:0]
	return b.err == nil && visit(r)
}
