package consume

import (
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/events"
)

// Keys of a Watermill message's metadata in addition to the headers of the NATS
// message. A header with several values appears with its first.
const (
	metadataSeq   = "postern-seq"   // sequence in the stream
	metadataTries = "postern-tries" // number of deliveries, this one included
)

const (
	headerTraceParent = "traceparent" // https://www.w3.org/TR/trace-context/
	headerMessageID   = "ce-messageid"
)

// eventOf gives the event in a message from a [Subscriber], and its sequence. An
// event from a headers-only consumer has no Data. Errors wrap [events.ErrMalformed].
func eventOf(m *message.Message) (events.Event, uint64, error) {
	seq, err := strconv.ParseUint(m.Metadata.Get(metadataSeq), 10, 64)
	if err != nil {
		return events.Event{}, 0, fmt.Errorf("%w: no sequence: %w", events.ErrMalformed, err)
	}
	header := make(map[string][]string, len(m.Metadata))
	for name, value := range m.Metadata {
		header[name] = []string{value}
	}
	if len(m.Payload) == 0 { // no body is empty
		e, err := events.ParseHead(header)
		return e, seq, err
	}
	e, err := events.Parse(header, m.Payload)
	return e, seq, err
}

// received converts a NATS message to a Watermill message.
func received(msg jetstream.Msg) (*message.Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of a NATS message: %w", err)
	}
	header := msg.Headers()
	id := header.Get(events.HeaderMsgID)
	if id == "" {
		id = strconv.FormatUint(meta.Sequence.Stream, 10)
	}
	m := message.NewMessage(id, msg.Data())
	for name, values := range header {
		if len(values) > 0 {
			m.Metadata.Set(name, values[0])
		}
	}
	m.Metadata.Set(metadataSeq, strconv.FormatUint(meta.Sequence.Stream, 10))
	m.Metadata.Set(metadataTries, strconv.FormatUint(meta.NumDelivered, 10))
	middleware.SetCorrelationID(firstOf(header.Get(headerTraceParent), header.Get(headerMessageID), id), m)
	return m, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
