package fanout

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"postern/internal/events"
	"postern/internal/proof/salted"
)

// maxChunkBytes limits a chunk so that its event stays below the default limit of a NATS
// server (1 MiB), even if its recipients have links to very many patients.
const maxChunkBytes = 768 << 10

// maxBlocks limits the blocks of a chunk of a sparse group: a receipt shows all blocks that the
// event of its delivery cites, 55 bytes each, and has at most 20 kB.
const maxBlocks = 100

// Summary describes the content of a manifest. It is the last part of the manifest.
type Summary struct {
	Count    int            `json:"count"`
	Chunks   int            `json:"chunks"`
	Digest   string         `json:"digest"`
	Included map[string]int `json:"included"`
	Excluded map[string]int `json:"excluded"`
	// Directory and Day are those of [events.AudienceResolved]. They are empty if the message is to
	// chosen people, or was frozen before version 2 of that event.
	Directory string `json:"directory,omitempty"`
	Day       string `json:"day,omitempty"`
}

// resolved is the event of the summary.
func (s Summary) resolved(message uuid.UUID) events.AudienceResolved {
	return events.AudienceResolved{MessageID: message, Count: s.Count, Chunks: s.Chunks, ManifestDigest: s.Digest,
		Included: s.Included, Excluded: s.Excluded, Directory: s.Directory, Day: s.Day}
}

// A manifestWriter divides an audience into chunks. A manifest is one zstd stream with, for
// each chunk, its length (4 bytes, big endian) and its body; then a length of 0; then the
// Summary as JSON. A group of a million portal users has 400 kB of bodies, a million chosen ones
// have 100 MB, which must be synced before the first event is published.
type manifestWriter struct {
	w       *zstd.Encoder
	message uuid.UUID
	key     *salted.PublicKey // seals the seeds of entries; nil: there is none yet
	body    []byte
	chosen  []events.Recipient // of the chunk, if the message is to chosen portal users
	size    int                // of their entries
	digest  hash.Hash          // over the SHA-256 of each body
	summary Summary
}

func newManifestWriter(w io.Writer, message uuid.UUID, key *salted.PublicKey) (*manifestWriter, error) {
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("setting up the compression: %w", err)
	}
	return &manifestWriter{w: compressed, message: message, key: key, digest: sha256.New()}, nil
}

// addBlocks adds the deliveries to members of blocks, which must be in ascending order. body has
// what all chunks share. A chunk consists of whole blocks, so that the deliveries of a message to
// one block are in one event.
func (m *manifestWriter) addBlocks(body events.DeliveriesByBlock, blocks []events.CitedBlock) error {
	end := func(some []events.CitedBlock, deliveries int) error {
		body.Chunk, body.Blocks, body.Nonce = m.summary.Chunks, some, events.NewNonce()
		data, err := body.MarshalJSON()
		if err != nil {
			return err
		}
		m.body = data
		m.summary.Count += deliveries
		return m.endChunk()
	}
	first, deliveries := 0, 0
	for i := range blocks {
		n := blocks[i].Members.Count()
		if deliveries+n > events.ChunkSize || i-first == maxBlocks {
			if err := end(blocks[first:i], deliveries); err != nil {
				return err
			}
			first, deliveries = i, 0
		}
		deliveries += n
	}
	if deliveries == 0 {
		return nil
	}
	return end(blocks[first:], deliveries)
}

// add adds the next recipient. Recipients must be added in the order of their numbers.
func (m *manifestWriter) add(r *events.Recipient) error {
	m.body = r.AppendTo(m.body[:0])
	m.size += len(m.body) + len(",")
	kept := *r
	kept.Links = slices.Clone(r.Links)
	m.chosen = append(m.chosen, kept)
	m.summary.Count++
	if len(m.chosen) == events.ChunkSize || m.size >= maxChunkBytes {
		return m.endRecipients()
	}
	return nil
}

// endRecipients ends a chunk to which add has added recipients.
func (m *manifestWriter) endRecipients() error {
	if len(m.chosen) == 0 {
		return nil
	}
	body, err := events.Hide(events.DeliveriesCreated{MessageID: m.message, Chunk: m.summary.Chunks, Recipients: m.chosen}, m.key)
	if err != nil {
		return err
	}
	if m.body, err = json.Marshal(body); err != nil {
		return err
	}
	m.chosen, m.size = m.chosen[:0], 0
	return m.endChunk()
}

// endChunk writes the body of a chunk.
func (m *manifestWriter) endChunk() error {
	sum := sha256.Sum256(m.body)
	m.digest.Write(sum[:])
	m.summary.Chunks++
	if err := binary.Write(m.w, binary.BigEndian, uint32(len(m.body))); err != nil { // #nosec G115 -- bounded by maxChunkBytes and one recipient
		return err
	}
	_, err := m.w.Write(m.body)
	return err
}

// close completes the manifest with its summary.
func (m *manifestWriter) close(included, excluded map[string]int) (Summary, error) {
	if err := m.endRecipients(); err != nil {
		return Summary{}, err
	}
	m.summary.Digest = "sha256:" + hex.EncodeToString(m.digest.Sum(nil))
	m.summary.Included, m.summary.Excluded = included, excluded
	last, err := json.Marshal(m.summary)
	if err != nil {
		return Summary{}, err
	}
	if _, err := m.w.Write(append([]byte{0, 0, 0, 0}, last...)); err != nil {
		return Summary{}, err
	}
	return m.summary, m.w.Close()
}

// A manifestReader reads the bodies back in order. Close it when done.
type manifestReader struct {
	r    *zstd.Decoder
	next int
}

func newManifestReader(r io.Reader) (*manifestReader, error) {
	plain, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	return &manifestReader{r: plain}, nil
}

func (m *manifestReader) close() { m.r.Close() }

// body returns the number and the body of the next chunk, or io.EOF after the last; then
// the summary follows. The caller may keep the body.
func (m *manifestReader) body() (int, []byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(m.r, size[:]); err != nil {
		return 0, nil, cut(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 {
		return 0, nil, io.EOF
	}
	if n > 2*maxChunkBytes {
		return 0, nil, fmt.Errorf("chunk %d of the manifest claims %d bytes", m.next, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(m.r, body); err != nil {
		return 0, nil, cut(err)
	}
	m.next++
	return m.next - 1, body, nil
}

// summary skips the chunks and reads the summary.
func (m *manifestReader) summary() (Summary, error) {
	for {
		if _, _, err := m.body(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Summary{}, err
		}
	}
	var s Summary
	if err := json.NewDecoder(m.r).Decode(&s); err != nil {
		return Summary{}, fmt.Errorf("reading the manifest's summary: %w", err)
	}
	return s, nil
}

// cut converts an unexpected end of the manifest to its own error, because io.EOF means
// the regular end.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the manifest is truncated")
	}
	return err
}
