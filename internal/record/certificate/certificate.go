// Package certificate makes the certificate of a receipt: one sheet of paper that says in plain
// words what the record says about one delivery, what that proves, and how to check it. The
// receipt's file is the proof; the certificate describes it.
//
// [Maker.Make] issues the receipt, which is recorded, and adds names: the directory's present
// names of people, and, if the reader may see them, the subject and the names of documents. None
// of these is proved by the receipt, and the certificate says so.
package certificate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/proof/receipt"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/text/qr"
)

// Config has the dependencies of a [Maker].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Receipts issues the receipts.
	Receipts *issuer.Issuer
	// Reader opens the subject; nil: certificates have none.
	Reader *reader.Reader
	// Clinic returns the clinic's name; "" if it is not set. It may be nil.
	Clinic func(context.Context) string
}

// Maker makes certificates. It is safe for concurrent use.
type Maker struct{ cfg Config }

// New makes a Maker. It does no I/O.
func New(cfg Config) *Maker { return &Maker{cfg} }

// Visibility says whether a certificate shows what the message says.
type Visibility string

// The values of [Visibility].
const (
	Shown  Visibility = "shown"
	Hidden Visibility = "hidden" // its reader may not see it
	Erased Visibility = "erased"
	// Missing content was not erased and can't be opened.
	Missing Visibility = "missing"
)

// A Certificate describes one receipt.
type Certificate struct {
	Receipt *receipt.Receipt
	receipt.Facts

	Clinic      string // "" if it is not set
	Record      string // the name of the record, which is that of its keys
	Sender      string
	Recipient   string
	Authorities []Authority
	// Concerned are the patients whom the message to the recipient concerns, if it states that.
	Concerned []Authority

	// NoAddress is whether the recipient had no e-mail address when the message was delivered, and
	// ReadableAt since when they could read it then; nil: not yet. See messages.ReadableAt.
	NoAddress  bool
	ReadableAt *time.Time

	// Content says whether Subject and the names of Documents are set.
	Content   Visibility
	Subject   string
	Documents []Document

	// Moments are at most mostMoments; More is how many the receipt has besides.
	Moments []receipt.Moment
	More    int

	Size       uint64 // the number of events that the checkpoint covers
	Checkpoint []string
	Code       qr.Code // the signed checkpoint
}

// Authority is a link that made the recipient one, as it was when the message was sent.
type Authority struct {
	Patient   string // the present name; "" if the reader may not see it
	PatientID string
	Self      bool
}

// Document is a sent document. Number is its place in the message, from 1.
type Document struct {
	Number int
	Name   string // "" if the reader may not see it
	events.AttachmentFact
}

// Make issues a receipt and describes it. It fails like [issuer.Issuer.Issue].
func (m *Maker) Make(ctx context.Context, q issuer.Request) (*Certificate, error) {
	issued, err := m.cfg.Receipts.Issue(ctx, q)
	if err != nil {
		return nil, err
	}
	return m.Describe(ctx, issued, q)
}

// Describe makes the certificate of a receipt that was issued for the request.
func (m *Maker) Describe(ctx context.Context, r *receipt.Receipt, q issuer.Request) (*Certificate, error) {
	c := &Certificate{Receipt: r}
	if m.cfg.Clinic != nil {
		c.Clinic = m.cfg.Clinic(ctx)
	}
	var err error
	if c.Facts, err = r.Facts(); err != nil {
		return nil, err
	}
	c.Moments, c.More = shorten(c.Facts.Moments)
	signed := strings.TrimSpace(r.Checkpoint)
	c.Checkpoint = strings.Split(signed, "\n")
	if c.Record = c.Checkpoint[0]; len(c.Checkpoint) > 1 {
		c.Size, _ = strconv.ParseUint(c.Checkpoint[1], 10, 63) // the record signed it
	}
	if c.Code, err = qr.Encode(signed); err != nil {
		return nil, err
	}
	if err := m.names(ctx, c, q); err != nil {
		return nil, err
	}
	if err := m.readable(ctx, c, q); err != nil {
		return nil, err
	}
	return c, m.content(ctx, c, q.Names)
}

// names adds the names of people. A portal user does not learn the names of patients to whom they
// have no link any more.
func (m *Maker) names(ctx context.Context, c *Certificate, q issuer.Request) error {
	who, err := directory.PortalUserByID(ctx, m.cfg.Pool, q.PortalUserID)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("naming the recipient: %w", err)
	}
	c.Sender, c.Recipient = cmp.Or(c.SenderName, c.SenderID), cmp.Or(who.Name, q.PortalUserID)
	today := c.Receipt.IssuedAt.Format(time.DateOnly)
	name := func(patient string) string {
		for _, now := range who.Patients {
			ended := now.Until != "" && now.Until < today || now.From > today
			if now.ID == patient && (!q.Alone || !ended) {
				return now.Name
			}
		}
		return ""
	}
	for _, l := range c.Links {
		c.Authorities = append(c.Authorities, Authority{name(l.PatientID), l.PatientID, l.Relationship == directory.Self})
	}
	if c.Matter.Basis != matter.NotStated {
		for _, id := range c.Matter.IDs() {
			self := slices.ContainsFunc(c.Matter.Patients, func(t rule.Tie) bool { return t.ID == id && t.Relationship == directory.Self })
			c.Concerned = append(c.Concerned, Authority{name(id), id, self})
		}
	}
	return nil
}

// readable adds since when the recipient could read the message, if they had no e-mail address.
func (m *Maker) readable(ctx context.Context, c *Certificate, q issuer.Request) error {
	delivery, err := messages.New(m.cfg.Pool).To(ctx, q.MessageID, q.PortalUserID)
	if err != nil || delivery == nil {
		return err
	}
	c.NoAddress, c.ReadableAt = delivery.ReadableLater(), delivery.ReadableAt
	return nil
}

// content adds what the message says, if the reader may see it.
func (m *Maker) content(ctx context.Context, c *Certificate, names bool) error {
	for i, a := range c.Facts.Documents {
		c.Documents = append(c.Documents, Document{Number: i + 1, AttachmentFact: a})
	}
	switch {
	case c.Receipt.Content == nil:
		c.Content = Erased
		return nil
	case !names || m.cfg.Reader == nil:
		c.Content = Hidden
		return nil
	}
	h, err := m.cfg.Reader.Header(ctx, c.Receipt.MessageID)
	switch {
	case errors.Is(err, message.ErrErased):
		c.Content = Erased
		return nil
	case errors.Is(err, message.ErrMissing):
		c.Content = Missing
		return nil
	case err != nil:
		return fmt.Errorf("opening the subject: %w", err)
	}
	c.Content, c.Subject = Shown, h.Subject
	called := map[uuid.UUID]string{}
	for _, a := range h.Attachments {
		called[a.ID] = a.Name
	}
	for i := range c.Documents {
		c.Documents[i].Name = called[c.Documents[i].AttachmentID]
	}
	return nil
}

// mostMoments is how many moments fit on the sheet with everything else.
const mostMoments = 12

// shorten leaves out what matters least: SendGrid's reports first, then downloads, then alerts,
// each from the end.
func shorten(all []receipt.Moment) (kept []receipt.Moment, more int) {
	kept = slices.Clone(all)
	for _, least := range []string{"SendGrid", "Downloaded", "Alert", ""} {
		for i := len(kept) - 1; i >= 0 && len(kept) > mostMoments; i-- {
			if strings.HasPrefix(kept[i].Text, least) {
				kept = slices.Delete(kept, i, i+1)
			}
		}
	}
	return kept, len(all) - len(kept)
}
