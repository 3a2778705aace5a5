// Package content stores the confidential content of messages, encrypted, in a blob
// bucket: bodies, attachments and audience manifests. Events contain only their digests.
//
// Every message and every attachment has its own data key, wrapped by the key-encryption
// key (KEK) with the row's id as associated data. Blobs and sealed columns are encrypted
// with the data key and bound to their names, so that a wrapped key or a blob can't be
// replaced by another. The places of the keys are:
//
//	content          its wrapped key                      and a second copy
//	body, header     app.message_content                  keys/<message>
//	manifest         app.manifest_keys                    manifest-keys/<message>
//	attachment       app.attachments until it is sent,    with the header
//	                 then in the header of its message
//	draft            app.drafts, with the whole draft     none
//	wording          app.wordings, with the whole text    none
//	import files     app.directory_imports                none
//	rosters          app.rosters, under the KEK itself    roster-keys/<bundle>
//	second factor    app.second_factors                   none
//	seeds of entries app.entry_keys                       entry-keys/<pair>
//
// The KEK is rotated by package rotation, which knows all of these places.
//
// States of the directory, in directories/, have no key: they name no one.
//
// A failover of Postgres to a replica that lags loses rows. The keys of sent messages are
// restored from the copies ([Keys]). A draft, an attachment that was not sent yet or an
// import that was not run yet must be made again.
//
// Destroying the wrapped key in both places erases the content. The digests in the events
// still prove the sent content. The blobs may be deleted later.
//
// A blob is durable once Put, Create or StoreKeys has returned: then it is on disk (see
// package folder) or in the object store. The order is: the row, the blob and the copy of
// the keys in any order, then the event that refers to them. A crash in between leaves
// rows and blobs that no event refers to.
//
// A Store and a Key are safe for concurrent use.
package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"postern/internal/store/bucket"
)

var (
	// ErrNotFound is the error if there is no blob with the name.
	ErrNotFound = errors.New("the content does not exist")
	// ErrExists is the error if Create found a blob with the name. It leaves that unchanged.
	ErrExists = errors.New("the content exists already")
	// ErrChanged is the error if the stored bytes are not the complete bytes that were
	// stored with this key under this name.
	ErrChanged = errors.New("the content was changed, truncated or moved, or belongs to another key")
)

// Name is the name of a blob. It reveals nothing about the content.
type Name string

// BodyOf returns the name of the body of a message.
func BodyOf(message uuid.UUID) Name { return Name(bodies + message.String()) }

// AttachmentOf returns the name of an attachment.
func AttachmentOf(attachment uuid.UUID) Name { return Name("attachments/" + attachment.String()) }

// ManifestOf returns the name of the audience manifest of a message.
func ManifestOf(message uuid.UUID) Name { return Name("manifests/" + message.String()) }

// RostersOf returns the name of a bundle of rosters of the directory.
func RostersOf(bundle uuid.UUID) Name { return Name(rosters + bundle.String()) }

// ImportFileOf returns the name of the nth file of an uploaded import of the directory.
func ImportFileOf(upload uuid.UUID, n int) Name {
	return Name(fmt.Sprintf("imports/%s-%d", upload, n))
}

// Store is a bucket of encrypted blobs with the KEK that wraps their keys.
type Store struct {
	bucket *blob.Bucket
	kek    *KeyFile
}

// New returns a Store for a bucket and a KEK. Store.Close closes the bucket.
func New(bucket *blob.Bucket, kek *KeyFile) *Store {
	return &Store{bucket: bucket, kek: kek}
}

// KeyFile returns the KEK.
func (s *Store) KeyFile() *KeyFile { return s.kek }

// Open opens the Store of the settings CONTENT_URL and CONTENT_KEY_FILE. The address is a
// folder (a path, or file:///path), which is created if it doesn't exist; an s3:// bucket
// (with credentials and region as the AWS SDK finds them, or in the query:
// https://gocloud.dev/howto/blob/#s3); or mem:// for tests.
func Open(ctx context.Context, address, keyFile string) (*Store, error) {
	kek, err := ReadKeyFile(keyFile)
	if err != nil {
		return nil, err
	}
	opened, err := bucket.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("opening the content bucket: %w", err)
	}
	return New(opened, kek), nil
}

// Has reports whether there is a blob with the name. It does not check its content.
func (s *Store) Has(ctx context.Context, name Name) (bool, error) {
	there, err := s.bucket.Exists(ctx, string(name))
	if err != nil {
		return false, fmt.Errorf("looking for content: %w", bucket.Explain(err))
	}
	return there, nil
}

// Reach returns an error if the bucket can't be read; see [bucket.Reach].
func (s *Store) Reach(ctx context.Context) error { return bucket.Reach(ctx, s.bucket, "") }

// Close closes the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Delete removes a blob. It is no error if the blob doesn't exist.
func (s *Store) Delete(ctx context.Context, name Name) error {
	if err := s.bucket.Delete(ctx, string(name)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("deleting content: %w", err)
	}
	return nil
}
