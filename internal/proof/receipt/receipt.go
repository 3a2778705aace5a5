// Package receipt proves the recorded events about one delivery. A receipt has these events, a
// proof for each that it is in the Merkle tree, and a signed checkpoint of that tree. Everyone
// with the key can check it, without our system and without a network.
//
// A receipt proves that the record has these events, and that the statement at its top agrees
// with them. It does not prove that there are no other events.
//
// An event that names several people has a body with a public and a private part. It is shown with
// its public part, a digest of the other, and the entries of the portal user, each with a proof
// (see events.Hidden). For a delivery to a group, an [Entry] of the cited roster proves what the
// directory said of the portal user. Nothing tells anything of anybody else.
//
// Events of earlier versions can only be proved whole, and some name up to a thousand portal
// users. A receipt with such names is for readers of the record, and says so (see
// docs/adr/0026).
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/salted"
)

// The formats of a receipt's file. In the first one, every event is whole. In the second one,
// only deliveries to groups are shown in part.
const (
	formatWhole  = "postern receipt 1"
	formatGroups = "postern receipt 2"
	format       = "postern receipt 3"
)

// A Receipt is the content of a receipt's file.
type Receipt struct {
	Format       string    `json:"format"`
	Notice       string    `json:"notice"`
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	IssuedAt     time.Time `json:"issued_at"`
	// Statement describes the events for people.
	Statement []Line `json:"statement"`
	// Content has data that was sealed with the message; nil after it was erased.
	Content *Content `json:"content,omitempty"`
	// Checkpoint is the signed note. The proofs are for the tree of its size.
	Checkpoint string  `json:"checkpoint"`
	Events     []Event `json:"events"`
	// Hashes are those of the proofs of the events. Events near one another share most of theirs.
	Hashes []tlog.Hash `json:"hashes,omitempty"`
	// Entry is the portal user's entry of the roster that the delivery cites; nil if it cites
	// none.
	Entry *Entry `json:"entry,omitempty"`
	// Digest is the digest of everything else. The event receipt.issued has it too, so that
	// data without a proof (names, the time of issue) can be compared with it.
	Digest string `json:"digest"`
}

// Complete sets the derived fields: the format, the statement, the notice and the digest.
func (r *Receipt) Complete() error {
	derived, err := derive(r)
	if err != nil {
		return fmt.Errorf("making the statement: %w", err)
	}
	r.Format, r.Statement, r.Notice = format, derived.lines, derived.notice()
	r.Digest, err = r.digest()
	return err
}

// A Line describes one fact, with the sequence of its event.
type Line struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Content has the salt of the recorded digests, which is needed to check a text, and the names
// of the documents, which are not on the record.
type Content struct {
	Salt      []byte     `json:"salt"`
	Documents []Document `json:"documents"`
}

// Document is a document's name. The name may contain a diagnosis, so it is included only if
// the requester may read the message.
type Document struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// An Event is an event as recorded.
type Event struct {
	Seq     uint64              `json:"seq"`
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
	// Data is the body, or the public part of it.
	Data string `json:"data"`
	// PrivateDigest is the SHA-256 of the private part of the body, nil if it has none.
	PrivateDigest *tlog.Hash `json:"private_digest,omitempty"`
	// Entries are the entries of the portal user, if the event names several people.
	Entries []salted.Proof `json:"entries,omitempty"`
	// Path leads from the event's leaf to the root of the tree (RFC 6962, 2.1.1): the places of
	// its hashes in Hashes.
	Path []int `json:"path,omitempty"`
	// Proof has the hashes themselves, in the formats before 3.
	Proof []tlog.Hash `json:"proof,omitempty"`
}

// Prove sets the proof of an event. Call it for the events in order.
func (r *Receipt) Prove(e *Event, proof tlog.RecordProof) {
	e.Path = nil
	for _, hash := range proof {
		at := slices.Index(r.Hashes, hash)
		if at < 0 {
			at = len(r.Hashes)
			r.Hashes = append(r.Hashes, hash)
		}
		e.Path = append(e.Path, at)
	}
}

// proof returns the proof of an event.
func (r *Receipt) proof(e *Event) (tlog.RecordProof, error) {
	if r.Format != format {
		if len(e.Path) > 0 || len(r.Hashes) > 0 {
			return nil, errors.New("its format has no shared hashes")
		}
		return e.Proof, nil
	}
	if len(e.Proof) > 0 {
		return nil, errors.New("its format has shared hashes")
	}
	proof := make(tlog.RecordProof, len(e.Path))
	for i, at := range e.Path {
		if at < 0 || at >= len(r.Hashes) {
			return nil, fmt.Errorf("it has no hash %d", at)
		}
		proof[i] = r.Hashes[at]
	}
	return proof, nil
}

// Show returns an event as a receipt shows it, without a proof.
func Show(s *merkle.Stored) Event {
	e := Event{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: string(s.Data)}
	if public, private := events.Parts(s.Header, s.Data); private != nil {
		digest := tlog.Hash(sha256.Sum256(private))
		e.Data, e.PrivateDigest = string(public), &digest
	}
	return e
}

// leaf returns the leaf of the event in the tree.
func (e *Event) leaf() (tlog.Hash, error) {
	s := &merkle.Stored{Seq: e.Seq, Subject: e.Subject, Header: e.Header, Data: []byte(e.Data)}
	if parts := events.LeafVersion(e.Header) == 2; parts != (e.PrivateDigest != nil) {
		return tlog.Hash{}, errors.New("its headers do not describe the parts of its body")
	} else if parts {
		return merkle.LeafOfParts(s, sha256.Sum256(s.Data), *e.PrivateDigest), nil
	}
	return merkle.Leaf(s), nil
}

// parsed reads the event. Of a body in parts, Data is the public one.
func (e *Event) parsed() (events.Event, error) {
	if e.PrivateDigest == nil {
		return events.Parse(e.Header, []byte(e.Data))
	}
	parsed, err := events.ParseHead(e.Header)
	parsed.Data = []byte(e.Data)
	return parsed, err
}

// An Entry is what the directory said of the portal user when the audience was frozen, with the
// proof that it stands in the roster of a block.
type Entry struct {
	Block block.No    `json:"block"`
	Salt  []byte      `json:"salt"`
	Facts []byte      `json:"facts"`
	Names []byte      `json:"names"`
	Path  []tlog.Hash `json:"path"` // from the entry to the root of the roster
}

// NewEntry returns the entry of a proof.
func NewEntry(no block.No, p roster.Proof) *Entry {
	return &Entry{no, p.Salt[:], p.Facts, p.Names, p.Path}
}

// in checks the entry against the root of its roster, and returns what it says.
func (e *Entry) in(root roster.Digest) (roster.Person, error) {
	if len(e.Salt) != len(roster.Salt{}) {
		return roster.Person{}, errors.New("the salt of the entry has another length")
	}
	p := roster.Proof{Salt: roster.Salt(e.Salt), Facts: e.Facts, Names: e.Names, Path: e.Path}
	return p.Check(e.Block, root)
}

// Encode returns the content of the file.
func (r *Receipt) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if r.Format == formatWhole || r.Format == formatGroups {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding a receipt: %w", err)
	}
	if r.Format == formatWhole || r.Format == formatGroups {
		return b.Bytes(), nil
	}
	return inLines(b.Bytes()), nil
}

// inLines puts each member of a compact JSON object, and each element of an array in it, on a
// line of its own: lines for people, without the spaces that took a third of a receipt.
func inLines(compact []byte) []byte {
	lines := make([]byte, 0, len(compact)+len(compact)/32)
	var open []byte // the brackets around
	quoted := false
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		if quoted {
			lines = append(lines, c)
			if c == '\\' {
				i++
				lines = append(lines, compact[i])
			}
			quoted = c != '"'
			continue
		}
		ends := c == '}' || c == ']'
		if ends && breaks(open) && compact[i-1] != '[' && compact[i-1] != '{' {
			lines = append(lines, '\n')
		}
		lines = append(lines, c)
		switch {
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if open = append(open, c); breaks(open) && compact[i+1] != ']' && compact[i+1] != '}' {
				lines = append(lines, '\n')
			}
		case ends:
			open = open[:len(open)-1]
		case c == ',' && breaks(open):
			lines = append(lines, '\n')
		}
	}
	return lines
}

// breaks reports whether there are lines at a place within these brackets.
func breaks(open []byte) bool { return len(open) == 1 || len(open) == 2 && open[1] == '[' }

// digest returns the SHA-256 of the encoded receipt without its digest.
func (r Receipt) digest() (string, error) {
	r.Digest = ""
	data, err := r.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// ErrWrong is wrapped by the error of every faulty receipt.
var ErrWrong = errors.New("the receipt does not hold")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrWrong, fmt.Errorf(format, args...))
}

// Parse decodes a file. It refuses unknown and repeated members, and compares their names
// exactly.
func Parse(data []byte) (*Receipt, error) {
	r := &Receipt{}
	if err := jsonv2.Unmarshal(data, r, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, wrong("it is no receipt that can be read: %w", err)
	}
	if r.Format != format && r.Format != formatGroups && r.Format != formatWhole {
		return nil, wrong("its format is %q, and this version reads %q, %q and %q", r.Format, formatWhole, formatGroups, format)
	}
	return r, nil
}

// Check verifies a receipt with the given keys, and returns its checkpoint. Errors wrap
// [ErrWrong].
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
	derived, err := derive(r)
	if err != nil {
		return c, wrong("%w", err)
	}
	if err := derived.compare(r); err != nil {
		return c, wrong("%w", err)
	}
	if r.Digest != digest {
		return c, wrong("data without a proof was changed: its digest is %s", digest)
	}
	return c, nil
}

func (r *Receipt) proves(e *Event, c checkpoint.Checkpoint) error {
	for name := range e.Header {
		if !merkle.OwnHeader(name) {
			return fmt.Errorf("the header %s is none of the record's", name)
		}
	}
	leaf, err := e.leaf()
	if err != nil {
		return err
	}
	proof, err := r.proof(e)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, int64(c.Size), c.Root, int64(e.Seq)-1, leaf); err != nil { // #nosec G115 -- at most the size, of 63 bits
		return errors.New("it does not stand in the tree that was signed")
	}
	return nil
}

// IsBody reports whether a text is the sent body.
func (r *Receipt) IsBody(text []byte) (bool, error) {
	if r.Content == nil {
		return false, errors.New("the message's content was erased, and with it the salt of its digest: no text can be compared with it any more")
	}
	sent, err := r.sent()
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(append(bytes.Clone(r.Content.Salt), text...))
	return sent.BodyDigest == "sha256:"+hex.EncodeToString(sum[:]), nil
}

// IsDocument returns the document whose bytes equal a file.
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
		e, err := r.Events[i].parsed()
		if err == nil && e.Type == events.TypeMessageSent {
			return events.DecodeShown[events.MessageSent](e, r.Events[i].Entries)
		}
	}
	return events.MessageSent{}, wrong("it holds no message.sent")
}

// Verify parses a file and verifier keys, and checks the receipt.
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
