// Package bundle hands the evidence of one delivery to a person outside the portal, such as a
// lawyer: one ZIP file with the certificate, the receipt, the clinic's key, how to check them,
// and, where the actor may read them, the text and the documents.
//
// # Record first
//
// The bundle is made in memory, then delivery.disclosed is recorded with its digest, the person
// who gets it and the purpose, and only then the bundle is given out. A crash before the event
// leaves nothing. A crash after it leaves a disclosure on the record that may not have reached
// anyone. There is never a bundle without its disclosure.
package bundle

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content/fields"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/certificate"
)

// Config has the dependencies of [Bundles].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Certificates issues the receipts.
	Certificates *certificate.Maker
	// Reader opens content; nil: bundles have none.
	Reader *reader.Reader
	// Labels returns the clinic's labels.
	Labels func(context.Context) (labels.Labels, error)
	// Facts records the disclosures.
	Facts facts.Publisher
}

// Bundles makes bundles. It is safe for concurrent use.
type Bundles struct{ cfg Config }

// New makes Bundles. It does no I/O.
func New(cfg Config) *Bundles { return &Bundles{cfg} }

// Request says what is disclosed, by whom, to whom and why.
type Request struct {
	MessageID    uuid.UUID
	PortalUserID string
	// Actor discloses it. MayRead is whether the actor may read the message's content.
	Actor   string
	MayRead bool
	// Content is whether the bundle is to have the text and the documents. Without MayRead the
	// error is [ErrContent].
	Content bool
	To      string // the name of the person or organization that gets it
	Address string // theirs; "" if it is not known
	Basis   events.DisclosureBasis
	Purpose string
}

// ErrContent is the error if the actor may not read the content that they want to disclose.
var ErrContent = problem.Forbidden.New("you may not read the content of this message, so the bundle can't have it: leave the content out, or ask the sender or a Staff Bcc of the message who may read the record")

// ErrNamesOthers is the error if the receipt would name other portal users to the person who gets
// it, as those of messages before version 0.3.0 to several people do.
var ErrNamesOthers = problem.NamesOthers.New("the receipt of this message names other portal users, so it can't be handed over: give the certificate alone, on paper")

// Bundle is the file. Digest is "sha256:" and hex, as recorded; Seq is the event.
type Bundle struct {
	Name   string
	Data   []byte
	Digest string
	Seq    uint64
}

// Check returns a problem of the kind [problem.InvalidRequest] with every fault of the request,
// or nil.
func (q Request) Check() error {
	var faults []problem.Fault
	text := func(field, text string, most limits.Characters, required bool) {
		switch {
		case required && strings.TrimSpace(text) == "":
			faults = append(faults, problem.Fault{Location: "body." + field, Message: "is required and can't be blank"})
		case len([]rune(text)) > int(most):
			faults = append(faults, problem.Fault{Location: "body." + field, Message: fmt.Sprintf("has %d characters; at most %d are allowed", len([]rune(text)), int(most))})
		case strings.ToValidUTF8(text, "") != text || strings.ContainsFunc(text, unicode.IsControl):
			faults = append(faults, problem.Fault{Location: "body." + field, Message: "has characters that are not text"})
		}
	}
	text("to", q.To, limits.StaffName, true)
	text("address", q.Address, limits.Reason, false)
	text("purpose", q.Purpose, limits.Reason, true)
	if _, known := Bases[q.Basis]; !known {
		faults = append(faults, problem.Fault{Location: "body.basis", Message: "must be other, patient, authorization or operations"})
	}
	if len(faults) == 0 {
		return nil
	}
	return problem.InvalidRequest.Problem(faults[0].Location+" "+faults[0].Message, faults...)
}

// Bases are the grounds of a disclosure, in words for the person who chooses one.
var Bases = map[events.DisclosureBasis]string{
	events.ToOther:         "Another ground, such as a court order or another party’s lawyer",
	events.ToPatient:       "To the {patient}, or to their representative",
	events.ByAuthorization: "With the {patient}’s written authorization",
	events.ForOperations:   "For treatment, payment or the clinic’s own operations, such as the clinic’s lawyer",
}

// HandOver makes a bundle and records its disclosure. It fails like [Request.Check] and
// [issuer.Issuer.Issue], or with [ErrContent] or [ErrNamesOthers].
func (b *Bundles) HandOver(ctx context.Context, q Request) (Bundle, error) {
	if err := q.Check(); err != nil {
		return Bundle{}, err
	}
	if q.Content && !q.MayRead {
		return Bundle{}, ErrContent
	}
	c, err := b.cfg.Certificates.Make(ctx, issuer.Request{MessageID: q.MessageID, PortalUserID: q.PortalUserID, Actor: q.Actor, Names: q.Content})
	if err != nil {
		return Bundle{}, err
	}
	if others, err := c.Receipt.NamesOthers(); err != nil || others {
		return Bundle{}, cmp.Or(err, ErrNamesOthers)
	}
	packed, err := b.pack(ctx, q, c)
	if err != nil {
		return Bundle{}, err
	}
	sum := sha256.Sum256(packed.data.Bytes())
	made := Bundle{Name: "delivery-" + q.MessageID.String() + ".zip", Data: packed.data.Bytes(), Digest: "sha256:" + hex.EncodeToString(sum[:])}
	fact := events.DeliveryDisclosed{Disclosure: uuid.New(), MessageID: q.MessageID, PortalUserID: q.PortalUserID, PatientIDs: []string{},
		To: strings.TrimSpace(q.To), Address: strings.TrimSpace(q.Address), Basis: q.Basis, Purpose: strings.TrimSpace(q.Purpose),
		Content: packed.content, Documents: packed.documents, Digest: made.Digest, Receipt: c.Receipt.Digest}
	// The receipt names every patient of the recipient, also those whom the message does not concern.
	for _, a := range slices.Concat(c.Authorities, c.Concerned) {
		if !slices.Contains(fact.PatientIDs, a.PatientID) {
			fact.PatientIDs = append(fact.PatientIDs, a.PatientID)
		}
	}
	// A crash before this line leaves nothing. A crash after it leaves a disclosure of a bundle
	// that was not given out.
	if made.Seq, err = b.cfg.Facts.Record(ctx, q.Actor, b.cfg.Facts.Now(), fact); err != nil {
		return Bundle{}, fmt.Errorf("recording a disclosure: %w", err)
	}
	return made, nil
}

// packed is a ZIP file that is written.
type packed struct {
	data      bytes.Buffer
	zip       *zip.Writer
	at        time.Time
	content   bool // it has the text
	documents int
	files     []string       // of the documents
	fields    []fields.Field // of the text
}

// pack writes the files of the bundle.
func (b *Bundles) pack(ctx context.Context, q Request, c *certificate.Certificate) (*packed, error) {
	p := &packed{at: c.Receipt.IssuedAt}
	p.zip = zip.NewWriter(&p.data)
	left, err := b.packContent(ctx, q, c, p)
	if err != nil {
		return nil, err
	}
	l, err := b.cfg.Labels(ctx)
	if err != nil {
		return nil, err
	}
	page, err := c.Page(l)
	if err != nil {
		return nil, err
	}
	file, err := c.Receipt.Encode()
	if err != nil {
		return nil, err
	}
	keys, err := merklestore.CheckpointKeys(ctx, b.cfg.Pool)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"README.txt", readme(q, p, left)}, {"certificate.html", page}, {"receipt.json", file}, {"clinic.key", []byte(keys)},
		{"checkpoint.txt", []byte(c.Receipt.Checkpoint)}} {
		if err := p.add(f.name, f.data); err != nil {
			return nil, err
		}
	}
	if err := p.zip.Close(); err != nil {
		return nil, fmt.Errorf("writing a bundle: %w", err)
	}
	return p, nil
}

// packContent adds the text and the documents. If it leaves them out, it returns why.
func (b *Bundles) packContent(ctx context.Context, q Request, c *certificate.Certificate, p *packed) (left string, err error) {
	switch {
	case !q.Content && !q.MayRead:
		return "The person who made this bundle may not read the content of messages.", nil
	case !q.Content:
		return "The person who made this bundle chose to leave it out.", nil
	case c.Content == certificate.Erased:
		return "The clinic has erased it.", nil
	case b.cfg.Reader == nil:
		return "It was not available where this bundle was made.", nil
	}
	h, body, err := b.cfg.Reader.Open(ctx, q.MessageID)
	if errors.Is(err, message.ErrErased) {
		return "The clinic has erased it.", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening the content: %w", err)
	}
	p.content, p.fields = true, fields.In(h.Subject+"\n"+body)
	if err := p.add("message.txt", []byte(body)); err != nil {
		return "", err
	}
	for i, a := range h.Attachments {
		_, data, err := b.cfg.Reader.OpenAttachment(ctx, q.MessageID, a.ID)
		if err != nil {
			return "", fmt.Errorf("opening a document: %w", err)
		}
		name := "documents/" + strconv.Itoa(i+1) + "-" + plain(a.Name)
		if err := p.add(name, data); err != nil {
			return "", err
		}
		p.documents++
		p.files = append(p.files, name)
	}
	return "", nil
}

func (p *packed) add(name string, data []byte) error {
	w, err := p.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: p.at})
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("writing %s into a bundle: %w", name, err)
	}
	return nil
}

// plain makes the name of a file of a document's name: no folders, and only characters that every
// system and shell takes as they are.
func plain(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '.' || r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return r
		}
		return '_'
	}, name)
}
