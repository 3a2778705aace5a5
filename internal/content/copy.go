package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/google/uuid"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Keys holds the content columns of a row in Postgres: a wrapped key, and data sealed with
// it. The content store keeps a copy, because a failover of Postgres can lose rows.
// Neither part can be read without the key-encryption key.
type Keys struct {
	WrappedKey []byte `json:"wrapped_key"`
	Sealed     []byte `json:"sealed,omitempty"`
}

// The folders of the content store.
const (
	bodies       = "bodies/"
	messageKeys  = "keys/"
	manifestKeys = "manifest-keys/"
	rosters      = "rosters/"
	rosterKeys   = "roster-keys/"
	entryKeys    = "entry-keys/"
	directories  = "directories/"
)

// KeysOf returns the name of the copy of a message's keys: those of its body, its header
// and, in the header, its attachments.
func KeysOf(message uuid.UUID) Name { return Name(messageKeys + message.String()) }

// ManifestKeysOf returns the name of the copy of the key of a message's audience manifest.
func ManifestKeysOf(message uuid.UUID) Name { return Name(manifestKeys + message.String()) }

// RosterKeysOf returns the name of the key of a bundle of rosters.
func RosterKeysOf(bundle uuid.UUID) Name { return Name(rosterKeys + bundle.String()) }

// EntryKeyOf returns the name of the copy of a key pair that seals the seeds of entries.
func EntryKeyOf(pair uuid.UUID) Name { return Name(entryKeys + pair.String()) }

// StoreKeys stores the copy of the keys of id and returns the stored keys, which are
// durable then. Of several callers the first one's keys are stored, and all callers get
// them. A copy that can't be opened is replaced.
func (s *Store) StoreKeys(ctx context.Context, name Name, id uuid.UUID, k Keys) (Keys, error) {
	err := s.writeKeys(ctx, name, k, true)
	if !errors.Is(err, ErrExists) {
		return k, err
	}
	kept, err := s.FindKeys(ctx, name)
	if err == nil {
		_, err = s.Unwrap(id, kept.WrappedKey)
	}
	if errors.Is(err, ErrChanged) || errors.Is(err, ErrNotFound) { // deleted just now, or damaged
		return k, s.writeKeys(ctx, name, k, false)
	}
	return kept, err
}

// ReplaceKeys replaces the copy of keys. It is durable then.
func (s *Store) ReplaceKeys(ctx context.Context, name Name, k Keys) error {
	return s.writeKeys(ctx, name, k, false)
}

func (s *Store) writeKeys(ctx context.Context, name Name, k Keys, createOnly bool) error {
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encoding content keys: %w", err)
	}
	err = s.bucket.WriteAll(ctx, string(name), text, &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: createOnly})
	if createOnly && gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("storing content keys: %w", err)
	}
	return nil
}

// FindKeys reads the copy of keys. It returns ErrNotFound, or ErrChanged if the blob is
// not such a copy. The keys are authentic once [Store.Unwrap] has accepted them.
func (s *Store) FindKeys(ctx context.Context, name Name) (k Keys, err error) {
	text, err := s.bucket.ReadAll(ctx, string(name))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return Keys{}, ErrNotFound
	}
	if err != nil {
		return Keys{}, fmt.Errorf("reading content keys: %w", err)
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return Keys{}, fmt.Errorf("reading content keys: %w", ErrChanged)
	}
	return k, nil
}

// Bodies returns the messages whose body is stored, in no order. Other blobs in that
// folder are ignored.
func (s *Store) Bodies(ctx context.Context) iter.Seq2[uuid.UUID, error] { return s.named(ctx, bodies) }

// Copies returns the messages that have a copy of their keys, in no order.
func (s *Store) Copies(ctx context.Context) iter.Seq2[uuid.UUID, error] {
	return s.named(ctx, messageKeys)
}

// ManifestKeys returns the messages whose manifest's key has a copy, in no order.
func (s *Store) ManifestKeys(ctx context.Context) iter.Seq2[uuid.UUID, error] {
	return s.named(ctx, manifestKeys)
}

// RosterKeys returns the bundles of rosters that have a key, in no order.
func (s *Store) RosterKeys(ctx context.Context) iter.Seq2[uuid.UUID, error] {
	return s.named(ctx, rosterKeys)
}

// EntryKeys returns the key pairs that have a copy, in no order.
func (s *Store) EntryKeys(ctx context.Context) iter.Seq2[uuid.UUID, error] {
	return s.named(ctx, entryKeys)
}

// Rosters returns the bundles of rosters that are stored, in no order.
func (s *Store) Rosters(ctx context.Context) iter.Seq2[uuid.UUID, error] {
	return s.named(ctx, rosters)
}

func (s *Store) named(ctx context.Context, folder string) iter.Seq2[uuid.UUID, error] {
	return func(yield func(uuid.UUID, error) bool) {
		for list := s.bucket.List(&blob.ListOptions{Prefix: folder}); ; {
			o, err := list.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(uuid.Nil, fmt.Errorf("listing content: %w", err))
				return
			}
			if id, err := uuid.Parse(strings.TrimPrefix(o.Key, folder)); err == nil && !yield(id, nil) {
				return
			}
		}
	}
}
