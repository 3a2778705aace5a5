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

// StreamConfig gives the configuration that makes the stream append-only.
func StreamConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        Stream,
		Description: "The append-only record of Postern.",
		Subjects:    []string{events.SubjectPrefix + ">"},
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,

		// No limit ever removes an event.
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
	// ErrUnsafeStream says that the stream exists with settings that don't protect
	// the record. It is never repaired silently: an update of a stream can erase
	// events.
	ErrUnsafeStream = errors.New("the stream RECORD does not protect the record")
	// ErrMoreReplicas says that the stream has more replicas than requested. It keeps
	// them.
	ErrMoreReplicas = errors.New("the stream RECORD keeps more replicas than asked for, and they are not lowered")
)

// adminTimeout bounds requests to JetStream other than those for events. The server
// does not answer a request that the user has no permission for.
const adminTimeout = 5 * time.Second

// EnsureStream makes the stream, or verifies that the existing one protects the
// record. It changes only the number of replicas of an existing stream, which it
// raises and never lowers: see [LowerReplicas]. Errors wrap [ErrUnsafeStream] with
// every difference, [ErrMoreReplicas] if everything else is correct, or
// [ErrNotAllowed].
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
		return fmt.Errorf("%w: %s; correct it with the nats command line, or restore the record into a new stream with `postern repair`",
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

// LowerReplicas lowers the stream's number of replicas, and does nothing if it is not
// higher than replicas. Each replica removed is one copy of the record fewer.
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
		return EnsureStream(ctx, js, want.Replicas) // another process has just made it
	}
	if err != nil {
		return fmt.Errorf("making the stream: %w", refused(js, err, "STREAM.CREATE."))
	}
	return nil
}

// withHarmless gives want with the [harmless] settings of have.
func withHarmless(want, have jetstream.StreamConfig) jetstream.StreamConfig {
	w, h := reflect.ValueOf(&want).Elem(), reflect.ValueOf(have)
	for name := range harmless {
		if f := w.FieldByName(name); f.IsValid() {
			f.Set(h.FieldByName(name))
		}
	}
	return want
}

// harmless are the settings that can't lose or hide an event.
var harmless = map[string]bool{"Description": true, "Replicas": true, "Placement": true, "Metadata": true,
	"Template": true, "AllowDirect": true, "MirrorDirect": true, "Compression": true}

// differences names every setting of have, except harmless ones, that differs from
// want. It compares all fields, so that it also finds settings that a later version
// of NATS adds.
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

// refused wraps err in [ErrNotAllowed] if the server refused the request. The server
// reports a refusal as an error of the connection; the request itself gets no answer.
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
