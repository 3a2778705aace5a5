// Package issuer issues receipts: it gathers the events of one delivery, waits until a
// checkpoint covers them, and records that the receipt was issued. Package receipt
// checks them, without a database.
package issuer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/proof/receipt"
	"postern/internal/proof/salted"
	"postern/internal/recorder/inboxrows"
)

// Config has the dependencies of an [Issuer].
type Config struct {
	Pool *pgxpool.Pool
	// Reader opens the sealed header of a message; nil: receipts have no Content.
	Reader *reader.Reader
	// Rosters gives the secrets of the rosters that deliveries to groups cite; nil: their receipts
	// can't be issued.
	Rosters *rosterstore.Store
	// Entries opens the seeds of the people whom events hide; nil: the receipts of such events
	// can't be issued.
	Entries *entrykey.Opening
	// Facts records events, and waits until they are projected.
	Facts facts.Publisher
}

// Issuer issues receipts. It is safe for concurrent use.
type Issuer struct {
	cfg Config
}

// New makes an Issuer. It does no I/O.
func New(cfg Config) *Issuer { return &Issuer{cfg: cfg} }

// A Request names a delivery, and the actor who requests its receipt.
type Request struct {
	MessageID    uuid.UUID
	PortalUserID string
	Actor        string
	// Names is whether the actor may see the names of documents.
	Names bool
	// Alone is whether the receipt may name only the portal user. If it would, the error
	// is [ErrNamesOthers].
	Alone bool
}

var (
	// ErrNotFound is the error if the delivery does not exist.
	ErrNotFound = problem.NotFound.New("that message was not delivered to that portal user")
	// ErrNamesOthers is the error if a receipt would name others than the portal user.
	ErrNamesOthers = problem.NamesOthers.New("this receipt would name other people: ask the clinic for it")
	// ErrNotSigned is the error if no checkpoint covers the recorded delivery yet.
	ErrNotSigned = problem.NotReady.New("no checkpoint covers the delivery yet: one is signed every ten seconds, try again then")
)

// Issue makes a receipt, and records that before it returns the receipt. It waits for a
// checkpoint that covers the present events about the delivery.
func (is *Issuer) Issue(ctx context.Context, q Request) (*receipt.Receipt, error) {
	r := &receipt.Receipt{MessageID: q.MessageID, PortalUserID: q.PortalUserID, IssuedAt: is.cfg.Facts.Time()}
	if err := is.find(ctx, r); err != nil {
		return nil, err
	}
	size, err := is.awaitCheckpoint(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := is.prove(ctx, r, size); err != nil {
		return nil, err
	}
	if err := is.open(ctx, r, q.Names); err != nil {
		return nil, err
	}
	if err := r.Complete(); err != nil {
		return nil, err
	}
	if q.Alone {
		if others, err := r.NamesOthers(); err != nil || others {
			return nil, cmp.Or(err, ErrNamesOthers)
		}
	}
	issued := events.ReceiptIssued{ReceiptID: uuid.New(), MessageID: q.MessageID,
		PortalUserID: q.PortalUserID, Digest: r.Digest, Names: q.Names}
	// A crash before this line leaves nothing. A crash after it leaves a recorded receipt that
	// the requester may not have got.
	if _, err := is.cfg.Facts.Publish(ctx, q.Actor, is.cfg.Facts.Now(), issued); err != nil {
		return nil, fmt.Errorf("recording the receipt: %w", err)
	}
	return r, nil
}

// find adds the events about the delivery, in order, and the portal user's entry of the roster
// that it cites.
func (is *Issuer) find(ctx context.Context, r *receipt.Receipt) error {
	var no int32
	var chunk int
	var seq int64
	var sender string
	err := is.cfg.Pool.QueryRow(ctx, `SELECT u.portal_user_no, c.chunk, c.seq, m.sender_id FROM app.portal_users u
		JOIN record.inbox i ON i.message_id = $1 AND i.block = record.block_of(u.portal_user_no)
		                   AND record.has_member(i.members, record.place_of(u.portal_user_no))
		JOIN record.chunks c ON c.message_id = i.message_id AND c.chunk = i.chunk
		JOIN record.messages m ON m.message_id = i.message_id
		WHERE u.portal_user_id = $2`, r.MessageID, r.PortalUserID).Scan(&no, &chunk, &seq, &sender)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("looking for the delivery: %w", err)
	}
	rows, err := is.cfg.Pool.Query(ctx, `
		SELECT seq, stored FROM record.events WHERE repeats IS NULL AND projected AND (message_id = $1 AND (seq = $2
			OR type IN ('message.sent', 'message.released', 'audience.resolved', 'message.recalled',
			            'alerts.accepted', 'alerts.failed', 'alerts.skipped', 'alerts.unknown', 'alerts.reported')
			OR type IN ('delivery.opened', 'attachment.downloaded') AND actor = $3))
		UNION ALL
		SELECT seq, stored FROM record.events WHERE repeats IS NULL AND projected AND id = $4
		ORDER BY seq`, r.MessageID, seq, "portal_user:"+r.PortalUserID, events.IDOf(events.TypeStaffCreated, sender))
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	var about []events.Event
	var delivery *events.Event
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
		if err != nil {
			return err
		}
		e, err := events.Parse(s.Header, s.Data)
		if err != nil || !isAbout(e, r.PortalUserID, chunk) {
			return err
		}
		if e.Type == events.TypeDeliveriesCreated {
			delivery = &e
		}
		about = append(about, e)
		r.Events = append(r.Events, receipt.Show(&s))
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	if delivery == nil {
		return errors.New("the event of the delivery is missing")
	}
	chunkOf, err := inboxrows.Of(delivery)
	if err != nil {
		return fmt.Errorf("reading the event of the delivery: %w", err)
	}
	to := recipient{r.PortalUserID, no, slices.Collect(chunkOf.Nos())}
	for i, e := range about {
		if r.Events[i].Entries, err = is.entries(ctx, e, to); err != nil {
			return fmt.Errorf("proving the entries of event %d: %w", r.Events[i].Seq, err)
		}
	}
	if delivery.IsByBlock() {
		r.Entry, err = is.entry(ctx, delivery, no)
	}
	return err
}

// recipient is the portal user of a receipt.
type recipient struct {
	id  string
	no  int32
	nos []int32 // of all recipients of the chunk
}

// entries returns the proofs of the recipient's entries of an event that hides people.
func (is *Issuer) entries(ctx context.Context, e events.Event, to recipient) ([]salted.Proof, error) {
	body, err := events.DecodeHiding(e)
	if err != nil || body == nil || body.HiddenBy() == nil || body.HiddenBy().Entries == 0 {
		return nil, err
	}
	body, own := to.in(body)
	if len(own) == 0 {
		return nil, nil
	}
	all, err := body.Entries()
	if err != nil {
		return nil, err
	}
	if is.cfg.Entries == nil {
		return nil, errNoContent
	}
	seed, err := is.cfg.Entries.Open(ctx, body.HiddenBy().Seed)
	if err != nil {
		return nil, err
	}
	if seed.Root(all) != body.HiddenBy().Root {
		return nil, errors.New("the entries are not those of its root")
	}
	var proofs []salted.Proof
	for _, at := range own {
		proofs = append(proofs, seed.Prove(all, at))
	}
	return proofs, nil
}

// in returns a body that has what its entries follow from, and the places of the recipient's entries.
func (to recipient) in(body events.Hiding) (events.Hiding, []int) {
	at := -1
	switch b := body.(type) {
	case events.MessageSent:
		at = slices.Index(b.Recipients.PortalUserIDs, to.id)
	case events.DeliveriesCreated:
		at = slices.IndexFunc(b.Recipients, func(r events.Recipient) bool { return r.PortalUserID == to.id })
	case events.AlertOutcome:
		if b.ReplayID != nil {
			at = slices.IndexFunc(b.Exceptions, func(x events.AlertException) bool { return x.PortalUserNo == to.no })
			break
		}
		b.Nos = to.nos
		body, at = b, slices.Index(to.nos, to.no)
	case events.AlertsReported:
		var own []int
		next := 0
		for _, request := range b.Requests {
			for _, r := range request.Reports {
				if r.PortalUserID == to.id {
					own = append(own, next)
				}
				next++
			}
		}
		return body, own
	}
	if at < 0 {
		return body, nil
	}
	return body, []int{at}
}

var errNoContent = errors.New("a receipt needs the content store and its key: set CONTENT_URL and CONTENT_KEY_FILE")

// entry returns the entry of a portal user in the roster that an event cites.
func (is *Issuer) entry(ctx context.Context, e *events.Event, portalUserNo int32) (entry *receipt.Entry, err error) {
	body, err := events.Decode[events.DeliveriesByBlock](*e)
	if err != nil {
		return nil, err
	}
	no, _ := block.Of(portalUserNo)
	i := slices.IndexFunc(body.Blocks, func(c events.CitedBlock) bool { return c.No == no })
	if i < 0 {
		return nil, fmt.Errorf("the event of the delivery does not cite a roster of block %d", no)
	}
	if is.cfg.Rosters == nil {
		return nil, errNoContent
	}
	root := roster.Digest(body.Blocks[i].Roster)
	secret, err := is.cfg.Rosters.Secret(ctx, root)
	if err != nil {
		return nil, err
	}
	err = cited.Each(ctx, is.cfg.Pool, []roster.Digest{root}, func(r *roster.Roster) error {
		proof, err := r.Prove(secret, portalUserNo)
		entry = receipt.NewEntry(no, proof)
		return err
	})
	return entry, err
}

// isAbout reports whether an event of the message is about the delivery. Events of other chunks,
// and events that name only other recipients, are not: most events of a large message.
func isAbout(e events.Event, portalUser string, chunk int) bool {
	switch {
	case e.Chunk != nil && e.Chunk.Index != chunk:
		return false
	case e.Type.IsOutcome(): // the outcome of a replay is only about the recipients that it names
		b, err := events.Decode[events.AlertOutcome](e)
		return err != nil || b.ReplayID == nil ||
			slices.ContainsFunc(b.Exceptions, func(x events.AlertException) bool { return x.PortalUserID == portalUser })
	case e.Type == events.TypeAlertsReported:
		if !bytes.Contains(e.Data, []byte(`"portal_user_id":"`+portalUser+`"`)) { // avoids decoding most of them
			return false
		}
		b, err := events.Decode[events.AlertsReported](e)
		return err == nil && slices.ContainsFunc(b.Requests, func(r events.ReportedRequest) bool {
			return slices.ContainsFunc(r.Reports, func(r events.Report) bool { return r.PortalUserID == portalUser })
		})
	}
	return true
}

const checkpointPoll = 200 * time.Millisecond

// awaitCheckpoint waits for the first checkpoint that covers all events, and sets it.
func (is *Issuer) awaitCheckpoint(ctx context.Context, r *receipt.Receipt) (size int64, err error) {
	last := r.Events[len(r.Events)-1].Seq
	for {
		err := is.cfg.Pool.QueryRow(ctx, `SELECT size, signed FROM app.checkpoints WHERE size >= $1 ORDER BY nr LIMIT 1`, last).Scan(&size, &r.Checkpoint)
		if err == nil {
			return size, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return 0, fmt.Errorf("reading the checkpoints: %w", err)
		}
		select {
		case <-ctx.Done():
			return 0, ErrNotSigned
		case <-time.After(checkpointPoll):
		}
	}
}

func (is *Issuer) prove(ctx context.Context, r *receipt.Receipt, size int64) error {
	hashes := merklestore.Hashes(ctx, is.cfg.Pool, "record.hashes")
	for i := range r.Events {
		proof, err := tlog.ProveRecord(size, int64(r.Events[i].Seq)-1, hashes) // #nosec G115 -- a sequence
		if err != nil {
			return fmt.Errorf("proving event %d: %w", r.Events[i].Seq, err)
		}
		r.Prove(&r.Events[i], proof)
	}
	return nil
}

// open adds the sealed data of the message, unless its content was erased.
func (is *Issuer) open(ctx context.Context, r *receipt.Receipt, names bool) error {
	if is.cfg.Reader == nil {
		return nil
	}
	h, err := is.cfg.Reader.Header(ctx, r.MessageID)
	if errors.Is(err, message.ErrErased) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Content = &receipt.Content{Salt: h.Salt, Documents: []receipt.Document{}}
	for _, a := range h.Attachments {
		if names {
			r.Content.Documents = append(r.Content.Documents, receipt.Document{ID: a.ID, Name: a.Name})
		}
	}
	return nil
}
