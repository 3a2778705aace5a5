// Package content keeps what only the reader of a message may see: bodies,
// attachments and audience manifests, encrypted, in a blob bucket. Events carry
// their digests alone.
//
// Every message and every attachment has a data key of its own, wrapped by the
// key-encryption key (KEK) with the row's id as associated data; blobs and sealed
// columns are encrypted with it and bound to their names, so that neither a
// wrapped key nor a blob can stand in for another. What is kept where:
//
//	content          its wrapped key                      and a second copy
//	body, header     app.message_content                  keys/<message>
//	manifest         app.manifest_keys                    manifest-keys/<message>
//	attachment       app.attachments until it is sent,    with the header
//	                 then in the header of its message
//	draft            app.drafts, with the whole draft     none
//	import files     app.directory_imports                none
//
// A failover of Postgres to a replica that lags loses rows. The copies are what
// brings back the keys of what was sent ([Keys]); a draft, an upload that was not
// sent yet or an import that was not carried out yet is made again.
//
// Destroying the wrapped key in both places erases the content while the events
// still prove by digest what was sent. The blobs may then be deleted at leisure.
//
// A blob counts once Put, Create or KeepKeys has returned: then it is on disk (see
// package folder) or with the object store. Order: the row, the blob and the copy of
// the keys in any order, then the event that names them. A crash in between leaves
// what no event names.
//
// A Store and a Key are safe for concurrent use.
package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/tink"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"postern/internal/store/bucket"
)

var (
	// ErrNotFound says that there is no blob of that name.
	ErrNotFound = errors.New("the content is not there")
	// ErrExists says that Create found a blob of that name, and left it alone.
	ErrExists = errors.New("the content exists already")
	// ErrChanged says that what is stored is not what was put there with this
	// key, under this name, whole.
	ErrChanged = errors.New("the content was changed, cut short or moved, or its key is another")
)

// Name is the name of a blob. It tells nothing of the content.
type Name string

// BodyOf names the body of a message.
func BodyOf(message uuid.UUID) Name { return Name(bodies + message.String()) }

// AttachmentOf names an attachment.
func AttachmentOf(attachment uuid.UUID) Name { return Name("attachments/" + attachment.String()) }

// ManifestOf names the audience manifest of a message.
func ManifestOf(message uuid.UUID) Name { return Name("manifests/" + message.String()) }

// ImportFileOf names the nth file of an import of the directory that was uploaded.
func ImportFileOf(upload uuid.UUID, n int) Name {
	return Name(fmt.Sprintf("imports/%s-%d", upload, n))
}

// Store is a bucket of encrypted blobs and the KEK of their keys.
type Store struct {
	bucket *blob.Bucket
	kek    tink.AEAD
}

// New makes a Store of a bucket and a KEK: the AEAD of a key file (see
// ReadKeyFile), or of a KMS. The Store closes the bucket.
func New(bucket *blob.Bucket, kek tink.AEAD) *Store {
	return &Store{bucket: bucket, kek: kek}
}

// Open opens the Store that CONTENT_URL and CONTENT_KEY_FILE name. The address
// is a folder (a path, or file:///path), which is created if it isn't there, an
// s3:// bucket (credentials and region as the AWS SDK finds them, or in the
// query: https://gocloud.dev/howto/blob/#s3), or mem:// for tests.
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

// Has tells whether there is a blob of that name, whatever it holds.
func (s *Store) Has(ctx context.Context, name Name) (bool, error) {
	there, err := s.bucket.Exists(ctx, string(name))
	if err != nil {
		return false, fmt.Errorf("looking for content: %w", bucket.Explain(err))
	}
	return there, nil
}

// Reach says what keeps the bucket from being read: see [bucket.Reach].
func (s *Store) Reach(ctx context.Context) error { return bucket.Reach(ctx, s.bucket, "") }

// Close closes the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Delete removes a blob. That it was not there is no error.
func (s *Store) Delete(ctx context.Context, name Name) error {
	if err := s.bucket.Delete(ctx, string(name)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("deleting content: %w", err)
	}
	return nil
}
