package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An Event is one fact, in the past tense, on the record. It is immutable once built:
// it can be copied and shared between goroutines, but Data must not be changed.
type Event struct {
	// ID is the same each time the same fact is published; see [IDOf].
	ID uuid.UUID
	// Type is the kind of event; Version is the version of its body's schema.
	Type    Type
	Version int
	// Source is the process that published the event, such as "/api".
	Source string
	// Actor is the person or process that caused the event: "staff:<id>",
	// "portal_user:<id>", "process:<name>" or "operator:<name>".
	Actor string
	// Time is the time of the fact, in UTC, by the publisher's clock.
	Time time.Time
	// MessageID is the message that the event refers to, or [uuid.Nil].
	MessageID uuid.UUID
	// Chunk is set on events about one chunk of a message.
	Chunk *ChunkRef
	// Data is the body, JSON that satisfies the schema of Type and Version.
	Data json.RawMessage
	// PublicLength is the number of bytes of the body's public part (see [Parts]), or 0 if the
	// body has no parts.
	PublicLength int
}

// ChunkRef identifies a chunk of a message: Index counts from 0 to Of-1. It is in the
// headers, so that a headers-only consumer of JetStream can assign work without
// reading a thousand recipients.
type ChunkRef struct {
	Index, Of int
}

// A Body is the payload of one event type. Its methods are pure.
type Body interface {
	// EventType is the type that the body belongs to; the registry has its version.
	EventType() Type
	// Key distinguishes this fact from every other fact of its type. Two bodies with
	// one key are the same fact.
	Key() []string
	// Message is the message that the fact refers to, or [uuid.Nil].
	Message() uuid.UUID
}

// chunked is a Body about one chunk.
type chunked interface{ ChunkRef() ChunkRef }

// typed is a Body that serves several types.
type typed interface{ ofType(Type) }

// versioned is a Body that has a version of its own. Other bodies are of the latest version of
// their type.
type versioned interface{ version() int }

// namespace is the namespace of Postern's UUIDv5 ids. It never changes: every id on
// every record depends on it.
var namespace = uuid.MustParse("6f1c8a52-3b7e-5d3f-9a64-0c5a2f1e7b90")

// IDOf derives the event id (UUIDv5, RFC 9562 section 5.5) from the type and the key
// of the fact. A retry, on any machine, publishes the same id as the first try.
func IDOf(t Type, key ...string) uuid.UUID {
	return uuid.NewSHA1(namespace, []byte(string(t)+"\x00"+strings.Join(key, "\x00")))
}

// New builds the event for body, caused by actor at the given time and published by
// source.
func New(source, actor string, at time.Time, body Body) (Event, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return Event{}, fmt.Errorf("encoding the event's body: %w", err)
	}
	return NewEncoded(source, actor, at, body, data), nil
}

// NewEncoded is [New] for a body whose JSON exists already, such as a frame of a
// manifest. Its version is the body's, or the latest of the type. A type without a
// descriptor gets version 0, which no schema has.
func NewEncoded(source, actor string, at time.Time, body Body, data []byte) Event {
	t := body.EventType()
	d, _ := Describe(t)
	e := Event{
		ID:        IDOf(t, body.Key()...),
		Type:      t,
		Version:   d.Version,
		Source:    source,
		Actor:     actor,
		Time:      at.UTC().Truncate(time.Microsecond),
		MessageID: body.Message(),
		Data:      data,
	}
	if c, ok := body.(chunked); ok {
		ref := c.ChunkRef()
		e.Chunk = &ref
	}
	if v, ok := body.(versioned); ok {
		e.Version = v.version()
	}
	e.PublicLength = publicLength(data)
	return e
}

// Decode reads the body of e. The type of e must be T's, and this binary must read its
// version (see [Reads]).
func Decode[T any, P interface {
	*T
	Body
}](e Event) (T, error) {
	if !Reads(e.Type, e.Version) {
		var none T
		return none, fmt.Errorf("event %s is %s version %d, which this binary does not know", e.ID, e.Type, e.Version)
	}
	return decode[T, P](e)
}

// decode is [Decode] without the check of the version. The descriptors use it.
func decode[T any, P interface {
	*T
	Body
}](e Event) (T, error) {
	var body T
	if b, ok := any(&body).(typed); ok {
		b.ofType(e.Type)
	}
	if err := json.Unmarshal(e.Data, &body); err != nil {
		return body, fmt.Errorf("decoding the body of event %s: %w", e.ID, err)
	}
	if t := P(&body).EventType(); e.Type != t {
		return body, fmt.Errorf("event %s is %s, not %s", e.ID, e.Type, t)
	}
	if h, ok := any(body).(Hiding); ok && (h.HiddenBy() != nil) != (e.Version >= h.parts()) {
		return body, fmt.Errorf("the body of event %s is not in the form of %s version %d", e.ID, e.Type, e.Version)
	}
	return body, nil
}

// Shards is the number of subjects of each type. Every subject permanently costs the
// server memory, so subjects contain no ids: a hash of the message id chooses the
// shard.
const Shards = 64

// SubjectPrefix is the prefix of every subject of the record.
const SubjectPrefix = "record."

// Subject is the subject of e: "record.<type>.<shard>".
func (e Event) Subject() string {
	key := e.MessageID
	if key == uuid.Nil {
		key = e.ID
	}
	h := fnv.New32a()
	_, _ = h.Write(key[:]) // never fails
	return SubjectPrefix + string(e.Type) + "." + strconv.FormatUint(uint64(h.Sum32()%Shards), 10)
}

// Filter is the subject filter for all events of a type.
func (t Type) Filter() string { return SubjectPrefix + string(t) + ".*" }

// The headers are CloudEvents 1.0 in NATS binary mode
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md).
// ce-actor, ce-messageid, ce-chunk, ce-chunks, ce-leaf and ce-publiclength are extension
// attributes.
const (
	headerSpecVersion = "ce-specversion"
	headerID          = "ce-id"
	headerType        = "ce-type"
	headerSource      = "ce-source"
	headerTime        = "ce-time"
	headerDataSchema  = "ce-dataschema"
	headerActor       = "ce-actor"
	headerMessageID   = "ce-messageid"
	headerChunk       = "ce-chunk"
	headerChunks      = "ce-chunks"
	headerLeaf        = "ce-leaf"
	headerContentType = "content-type"
	// headerPublicLength is set together with headerLeaf, see Parts.
	headerPublicLength = "ce-publiclength"
	leafOfParts        = "2"

	// HeaderMsgID is the header by which JetStream deduplicates; its value is the
	// event id.
	HeaderMsgID = "Nats-Msg-Id"

	schemaPrefix = "urn:postern:schema:"
	timeLayout   = "2006-01-02T15:04:05.000000Z"
)

// Header gives e's attributes as the headers of a NATS message.
func (e Event) Header() map[string][]string {
	h := map[string][]string{
		headerSpecVersion: {"1.0"},
		headerID:          {e.ID.String()},
		headerType:        {string(e.Type)},
		headerSource:      {e.Source},
		headerTime:        {e.Time.UTC().Format(timeLayout)},
		headerDataSchema:  {SchemaID(e.Type, e.Version)},
		headerActor:       {e.Actor},
		headerContentType: {"application/json"},
		HeaderMsgID:       {e.ID.String()},
	}
	if e.MessageID != uuid.Nil {
		h[headerMessageID] = []string{e.MessageID.String()}
	}
	if e.Chunk != nil {
		h[headerChunk] = []string{strconv.Itoa(e.Chunk.Index)}
		h[headerChunks] = []string{strconv.Itoa(e.Chunk.Of)}
	}
	if e.PublicLength > 0 {
		h[headerLeaf] = []string{leafOfParts}
		h[headerPublicLength] = []string{strconv.Itoa(e.PublicLength)}
	}
	return h
}

// SchemaID is the $id of the JSON Schema for a type's body.
func SchemaID(t Type, version int) string {
	return schemaPrefix + string(t) + ":" + strconv.Itoa(version)
}

// ErrMalformed is wrapped by every error of [Parse]: the NATS message is not a valid
// event, and a retry can't help.
var ErrMalformed = errors.New("malformed event")

// Parse is the inverse of Header. It accepts types and versions that this binary does
// not know: the caller decides how to handle them.
func Parse(header map[string][]string, data []byte) (Event, error) {
	e, err := ParseHead(header)
	if err != nil {
		return Event{}, err
	}
	e.Data = data
	if e.PublicLength, err = partsOf(header, data); err != nil {
		return Event{}, fmt.Errorf("%w: header %s: %w", ErrMalformed, headerPublicLength, err)
	}
	return e, nil
}

// ParseHead is [Parse] for the headers alone: the event has no Data and no PublicLength.
func ParseHead(header map[string][]string) (Event, error) {
	get := func(name string) string {
		if v := header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	fail := func(name string, err error) (Event, error) {
		return Event{}, fmt.Errorf("%w: header %s: %w", ErrMalformed, name, err)
	}
	e := Event{Type: Type(get(headerType)), Source: get(headerSource), Actor: get(headerActor)}
	var err error
	if e.ID, err = uuid.Parse(get(headerID)); err != nil {
		return fail(headerID, err)
	}
	if e.Type == "" {
		return fail(headerType, errors.New("missing"))
	}
	if e.Time, err = time.Parse(time.RFC3339Nano, get(headerTime)); err != nil {
		return fail(headerTime, err)
	}
	if e.Version, err = versionOf(get(headerDataSchema), e.Type); err != nil {
		return fail(headerDataSchema, err)
	}
	if s := get(headerMessageID); s != "" {
		if e.MessageID, err = uuid.Parse(s); err != nil {
			return fail(headerMessageID, err)
		}
	}
	if s := get(headerChunk); s != "" {
		index, err1 := strconv.Atoi(s)
		of, err2 := strconv.Atoi(get(headerChunks))
		if err := errors.Join(err1, err2); err != nil {
			return fail(headerChunk, err)
		}
		e.Chunk = &ChunkRef{Index: index, Of: of}
	}
	return e, nil
}

// partsOf checks that the headers describe the parts of the body, and returns the length of
// the public one.
func partsOf(header map[string][]string, data []byte) (publicLength int, err error) {
	public, private := Parts(header, data)
	has := private != nil
	if has != (len(header[headerPublicLength]) > 0) || has != (len(header[headerLeaf]) > 0) || has != (LeafVersion(header) == 2) {
		return 0, errors.New("it does not describe the parts of the body")
	}
	if !has {
		return 0, nil
	}
	return len(public), nil
}

func versionOf(schema string, t Type) (int, error) {
	v, ok := strings.CutPrefix(schema, schemaPrefix+string(t)+":")
	if !ok {
		return 0, fmt.Errorf("%q is not a schema of %s", schema, t)
	}
	return strconv.Atoi(v)
}
