package eventlog

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/events"
)

// Stream is the name of the stream that holds the record.
const Stream = "RECORD"

// StreamConfig is what the stream must be for the record to be append-only.
func StreamConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        Stream,
		Description: "The append-only record of Postern.",
		Subjects:    []string{events.SubjectPrefix + ">"},
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,

		// Nothing ever leaves it by a limit.
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		MaxConsumers:      -1,

		DenyDelete: true,
		DenyPurge:  true,

		AllowAtomicPublish: true,
		Duplicates:         2 * time.Minute,
	}
}

// Errors of the stream.
var (
	// ErrNotAllowed says that the NATS user may not do this. Only the admin may
	// make or change the stream.
	ErrNotAllowed = errors.New("the NATS user is not allowed to do this")
	// ErrUnsafeStream says that a stream of the right name exists which does not
	// protect the record. It is never mended silently: an update of a stream can
	// erase events.
	ErrUnsafeStream = errors.New("the stream RECORD does not protect the record")
	// ErrMoreReplicas says that the stream has more replicas than were asked for, and that
	// nothing was lowered.
	ErrMoreReplicas = errors.New("the stream RECORD keeps more replicas than asked for, and they are not lowered")
)

// adminTimeout bounds what is asked of JetStream but for events. The server does
// not answer what the user may not ask.
const adminTimeout = 5 * time.Second

// EnsureStream makes the stream, or verifies that the one that is there protects
// the record. Of an existing stream it changes nothing but the number of
// replicas, which it raises and never lowers: see [LowerReplicas]. Errors wrap
// [ErrUnsafeStream], naming every difference, [ErrMoreReplicas], when all else is as it
// should be, or [ErrNotAllowed].
func EnsureStream(ctx context.Context, js jetstream.JetStream, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	want := StreamConfig(replicas)
	stream, err := js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return createStream(ctx, js, want)
	}
	if err != nil {
		return fmt.Errorf("looking for the stream: %w", err)
	}
	have := stream.CachedInfo().Config
	if diff := differences(have, want); len(diff) > 0 {
		return fmt.Errorf("%w: %s; set it right with the nats command line, or restore the record into a new stream with `postern repair`",
			ErrUnsafeStream, strings.Join(diff, ", "))
	}
	switch {
	case have.Replicas == replicas:
		return nil
	case have.Replicas > replicas:
		return fmt.Errorf("%w: it has %d and RECORD_REPLICAS is %d; set RECORD_REPLICAS=%d, or lower them with `postern migrate --lower-replicas`",
			ErrMoreReplicas, have.Replicas, replicas, have.Replicas)
	}
	return setReplicas(ctx, js, have, replicas)
}

// LowerReplicas sets the number of replicas of the stream to one that is lower than what it
// has, and leaves it alone where it is not. Each replica less is a copy of the record less.
func LowerReplicas(ctx context.Context, js jetstream.JetStream, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the stream: %w", err)
	}
	have := stream.CachedInfo().Config
	if have.Replicas <= replicas {
		return nil
	}
	return setReplicas(ctx, js, have, replicas)
}

func setReplicas(ctx context.Context, js jetstream.JetStream, have jetstream.StreamConfig, replicas int) error {
	have.Replicas = replicas
	if _, err := js.UpdateStream(ctx, have); err != nil {
		return fmt.Errorf("setting the stream's replicas to %d: %w", replicas, refused(js, err, "STREAM.UPDATE."))
	}
	return nil
}

func createStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return EnsureStream(ctx, js, want.Replicas) // another process made it a moment ago
	}
	if err != nil {
		return fmt.Errorf("making the stream: %w", refused(js, err, "STREAM.CREATE."))
	}
	return nil
}

// keepingHarmless is want with those settings of have that can't cost an event.
func keepingHarmless(want, have jetstream.StreamConfig) jetstream.StreamConfig {
	w, h := reflect.ValueOf(&want).Elem(), reflect.ValueOf(have)
	for name := range harmless {
		if f := w.FieldByName(name); f.IsValid() {
			f.Set(h.FieldByName(name))
		}
	}
	return want
}

// harmless are the settings that can't cost an event or hide one.
var harmless = map[string]bool{"Description": true, "Replicas": true, "Placement": true, "Metadata": true,
	"Template": true, "AllowDirect": true, "MirrorDirect": true, "Compression": true}

// differences names every setting of have, harmless ones aside, that is not as in
// want. It walks all of them, so that a setting which a later version of NATS
// invents is not overlooked.
func differences(have, want jetstream.StreamConfig) []string {
	var diff []string
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range h.NumField() {
		name := h.Type().Field(i).Name
		if harmless[name] || reflect.DeepEqual(h.Field(i).Interface(), w.Field(i).Interface()) {
			continue
		}
		diff = append(diff, fmt.Sprintf("%s is %v and must be %v", name, h.Field(i), w.Field(i)))
	}
	return diff
}

// refused makes of err [ErrNotAllowed] where the server refused the request. It
// tells so beside the request, which itself merely gets no answer.
func refused(js jetstream.JetStream, err error, request string) error {
	if err == nil {
		return nil
	}
	last := js.Conn().LastError()
	if last != nil && errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), request) {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return err
}
