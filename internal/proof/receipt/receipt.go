// Package receipt proves, for one delivery, what the record says of it. A receipt
// holds the events that speak of the delivery, the proof that each stands in the
// Merkle tree, and a signed checkpoint of that tree; it can be checked by anybody
// who has the key, without us, without a network.
//
// What a receipt proves is that the record holds these events, and that they are
// what the statement at its top says. It does not prove that there are no others.
//
// An event is proved whole or not at all, and a chunk's names up to a thousand
// portal users: a receipt is for who may read the record, and says so (see
// docs/adr/0027).
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
)

// format is that of a receipt's file.
const format = "postern receipt 1"

// A Receipt is the file.
type Receipt struct {
	Format       string    `json:"format"`
	Notice       string    `json:"notice"`
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	IssuedAt     time.Time `json:"issued_at"`
	// Statement is what the events say, for people.
	Statement []Line `json:"statement"`
	// Content is what was sealed with the message; nil once that was erased.
	Content *Content `json:"content,omitempty"`
	// Checkpoint is the signed note; the tree is that of its size.
	Checkpoint string  `json:"checkpoint"`
	Events     []Event `json:"events"`
	// Digest is over everything else, and stands in the event receipt.issued: what
	// no proof covers (names, the time of issue) can be held against it.
	Digest string `json:"digest"`
}

// Complete fills in what follows from the rest: the format, the statement, the notice and
// the digest.
func (r *Receipt) Complete() error {
	told, err := tell(r.MessageID, r.PortalUserID, r.Events)
	if err != nil {
		return fmt.Errorf("telling what the record says: %w", err)
	}
	r.Format, r.Statement, r.Notice = format, told.lines, told.notice()
	r.Digest, err = r.digest()
	return err
}

// A Line is a fact, and the sequence of the event that says it.
type Line struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Content is what the digests on the record are checked with: the salt that stands
// in front of what they are of, and the names of the documents, which the record
// does not know.
type Content struct {
	Salt      []byte     `json:"salt"`
	Documents []Document `json:"documents"`
}

// Document is a document's name. It can say a diagnosis: it is there only where
// whoever asked for the receipt may read the message.
type Document struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// An Event is an event as it stands on the record.
type Event struct {
	Seq     uint64              `json:"seq"`
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
	Data    string              `json:"data"`
	// Proof leads from the event's leaf to the root of the tree (RFC 6962, 2.1.1).
	Proof []tlog.Hash `json:"proof"`
}

func (e *Event) stored() *merkle.Stored {
	return &merkle.Stored{Seq: e.Seq, Subject: e.Subject, Header: e.Header, Data: []byte(e.Data)}
}

// Encode gives the file.
func (r *Receipt) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding a receipt: %w", err)
	}
	return b.Bytes(), nil
}

// digest is the SHA-256 over the receipt without its digest, in the one form that
// this package writes.
func (r Receipt) digest() (string, error) {
	r.Digest = ""
	data, err := r.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// ErrWrong is what every fault of a receipt is.
var ErrWrong = errors.New("the receipt does not hold")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrWrong, fmt.Errorf(format, args...))
}

// Parse reads a file. It takes no member that it does not know, none twice, and
// none under a name that is merely alike.
func Parse(data []byte) (*Receipt, error) {
	r := &Receipt{}
	if err := jsonv2.Unmarshal(data, r, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, wrong("it is no receipt that can be read: %w", err)
	}
	if r.Format != format {
		return nil, wrong("its format is %q, and this version reads %q", r.Format, format)
	}
	return r, nil
}

// Check proves a receipt with the keys that are given, and gives the checkpoint
// that it stands on. Errors wrap [ErrWrong].
func (r *Receipt) Check(known *checkpoint.Verifiers) (checkpoint.Checkpoint, error) {
	digest, err := r.digest()
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	c, err := checkpoint.Open(r.Checkpoint, known)
	if err != nil {
		return c, wrong("%w", err)
	}
	var last uint64
	for i := range r.Events {
		e := &r.Events[i]
		if e.Seq <= last || e.Seq > c.Size {
			return c, wrong("event %d does not follow event %d, up to the %d that were signed", e.Seq, last, c.Size)
		}
		last = e.Seq
		if err := r.proves(e, c); err != nil {
			return c, wrong("event %d: %w", e.Seq, err)
		}
	}
	told, err := tell(r.MessageID, r.PortalUserID, r.Events)
	if err != nil {
		return c, wrong("%w", err)
	}
	if err := told.is(r); err != nil {
		return c, wrong("%w", err)
	}
	if r.Digest != digest {
		return c, wrong("something that no event speaks of was changed: its digest is %s", digest)
	}
	return c, nil
}

func (r *Receipt) proves(e *Event, c checkpoint.Checkpoint) error {
	for name := range e.Header {
		if !merkle.OwnHeader(name) {
			return fmt.Errorf("the header %s is none of the record's", name)
		}
	}
	leaf := tlog.Hash(merkle.Leaf(e.stored()))
	if err := tlog.CheckRecord(e.Proof, int64(c.Size), c.Root, int64(e.Seq)-1, leaf); err != nil { // #nosec G115 -- at most the size, of 63 bits
		return errors.New("it does not stand in the tree that was signed")
	}
	return nil
}

// IsBody tells whether a text is the body that was sent.
func (r *Receipt) IsBody(text []byte) (bool, error) {
	if r.Content == nil {
		return false, errors.New("the message's content was erased, and with it the salt of its digest: no text can be held against it any more")
	}
	sent, err := r.sent()
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(append(bytes.Clone(r.Content.Salt), text...))
	return sent.BodyDigest == "sha256:"+hex.EncodeToString(sum[:]), nil
}

// IsDocument gives the document of which a file is the very bytes.
func (r *Receipt) IsDocument(file []byte) (events.AttachmentFact, bool, error) {
	sent, err := r.sent()
	if err != nil {
		return events.AttachmentFact{}, false, err
	}
	sum := sha256.Sum256(file)
	for _, a := range sent.Attachments {
		if a.SHA256 == hex.EncodeToString(sum[:]) {
			return a, true, nil
		}
	}
	return events.AttachmentFact{}, false, nil
}

func (r *Receipt) sent() (events.MessageSent, error) {
	for i := range r.Events {
		e, err := events.Parse(r.Events[i].Header, []byte(r.Events[i].Data))
		if err == nil && e.Type == events.TypeMessageSent {
			return events.Decode[events.MessageSent](e)
		}
	}
	return events.MessageSent{}, wrong("it holds no message.sent")
}

// Verify is Check for a file and keys as text, for whoever has nothing else.
func Verify(file []byte, keys string) (*Receipt, checkpoint.Checkpoint, error) {
	known, err := checkpoint.ParseVerifiers(keys)
	if err != nil {
		return nil, checkpoint.Checkpoint{}, err
	}
	r, err := Parse(file)
	if err != nil {
		return nil, checkpoint.Checkpoint{}, err
	}
	c, err := r.Check(known)
	return r, c, err
}
