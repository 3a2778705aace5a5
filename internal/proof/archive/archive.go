// Package archive stores signed checkpoints and sealed segments of the record outside of
// NATS and Postgres, in a bucket (ARCHIVE_URL) that the administrators of those should
// not control. It only creates objects and never uses a name twice, so that the bucket
// may forbid changes and deletions (S3 object lock).
//
//	checkpoints/2026-03-01/00000000000001204331-1f0c….txt
//	segments/00000000000001200001-00000000000001204331-9ab3….zst
//
// The name of a checkpoint has the day on which it was signed, its size, and the
// beginning of the SHA-256 of its text. The name of a segment has its first and last
// sequence and the SHA-256 of its bytes.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"postern/internal/store/bucket"
)

const (
	checkpoints = "checkpoints/"
	segments    = "segments/"
)

// requestTimeout is the timeout for one object or one page of names. A bucket that accepts
// requests but does not answer counts as unreachable.
const requestTimeout = time.Minute

// Archive is a bucket with checkpoints and segments. It is safe for concurrent use, also by
// several processes.
type Archive struct{ bucket *blob.Bucket }

// Open opens the archive with the address of ARCHIVE_URL; see [bucket.Open].
func Open(ctx context.Context, address string) (*Archive, error) {
	b, err := bucket.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	return &Archive{bucket: b}, nil
}

// Close closes the bucket.
func (a *Archive) Close() error { return a.bucket.Close() }

// Reach returns an error if the archive can't be read; see [bucket.Reach].
func (a *Archive) Reach(ctx context.Context) error { return bucket.Reach(ctx, a.bucket, checkpoints) }

// A Checkpoint is a signed checkpoint in the archive.
type Checkpoint struct {
	Name string
	Day  time.Time // the day in its name
	Size uint64
}

// PutCheckpoint stores a checkpoint. Storing it again changes nothing. The day must not be
// before that of a stored checkpoint, even if a clock was set back, because
// [Archive.Latest] relies on it.
func (a *Archive) PutCheckpoint(ctx context.Context, size uint64, signedAt time.Time, text string) error {
	digest := sha256.Sum256([]byte(text))
	name := fmt.Sprintf("%s%s/%020d-%x.txt", checkpoints, signedAt.UTC().Format(time.DateOnly), size, digest[:8])
	return a.create(ctx, name, []byte(text))
}

// create stores a new object. An existing object with the name has the same content,
// because the name has its digest.
func (a *Archive) create(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := a.bucket.WriteAll(ctx, name, data, &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true})
	if err != nil && gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return fmt.Errorf("writing %s to the archive: %w", name, bucket.Explain(err))
	}
	return nil
}

// Read returns the object with a name.
func (a *Archive) Read(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	data, err := a.bucket.ReadAll(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w", name, bucket.Explain(err))
	}
	return data, nil
}

// Latest returns the largest checkpoint, or one of size 0 if there is none. It lists the
// days, and then the objects of the last day. It ignores foreign objects.
func (a *Archive) Latest(ctx context.Context) (Checkpoint, error) {
	var last string
	err := a.each(ctx, checkpoints, "/", func(name string) error {
		last = max(last, name)
		return nil
	})
	if err != nil || last == "" {
		return Checkpoint{}, err
	}
	var latest Checkpoint
	err = a.each(ctx, last, "", func(name string) error {
		if c, ok := checkpointOf(name); ok && c.Size >= latest.Size {
			latest = c
		}
		return nil
	})
	return latest, err
}

// Checkpoints returns all checkpoints in the order of their names, and the names of
// foreign objects, which this package did not store.
func (a *Archive) Checkpoints(ctx context.Context) (all []Checkpoint, foreign []string, err error) {
	return sorted(ctx, a, checkpoints, checkpointOf)
}

// sorted lists the names below a prefix, and separates valid from foreign ones.
func sorted[T any](ctx context.Context, a *Archive, prefix string, parse func(string) (T, bool)) (all []T, foreign []string, err error) {
	err = a.each(ctx, prefix, "", func(name string) error {
		if one, ok := parse(name); ok {
			all = append(all, one)
		} else {
			foreign = append(foreign, name)
		}
		return nil
	})
	return all, foreign, err
}

func checkpointOf(name string) (Checkpoint, bool) {
	day, errDay := time.Parse(time.DateOnly, path.Base(path.Dir(name)))
	digits, _, _ := strings.Cut(path.Base(name), "-")
	size, errSize := strconv.ParseUint(digits, 10, 63)
	return Checkpoint{Name: name, Day: day, Size: size}, errDay == nil && errSize == nil && len(digits) == 20
}

// A Segment is an object in the archive with consecutive events.
type Segment struct {
	Name        string
	First, Last uint64
	SHA256      [sha256.Size]byte
}

// Segments returns all segments in the order of their first events, and the names of
// foreign objects, which this package did not store.
func (a *Archive) Segments(ctx context.Context) (all []Segment, foreign []string, err error) {
	return sorted(ctx, a, segments, segmentOf)
}

func segmentOf(name string) (Segment, bool) {
	s := Segment{Name: name}
	parts := strings.Split(strings.TrimSuffix(path.Base(name), ".zst"), "-")
	if len(parts) != 3 {
		return s, false
	}
	var errs [3]error
	s.First, errs[0] = strconv.ParseUint(parts[0], 10, 63)
	s.Last, errs[1] = strconv.ParseUint(parts[1], 10, 63)
	n := 0
	n, errs[2] = hex.Decode(s.SHA256[:], []byte(parts[2][:min(len(parts[2]), 2*sha256.Size)]))
	return s, errors.Join(errs[:]...) == nil && n == sha256.Size && s.First > 0 && s.Last >= s.First
}

// each calls f with every name below a prefix, in order. With a delimiter it calls f with
// the folders directly below the prefix.
func (a *Archive) each(ctx context.Context, prefix, delimiter string, f func(name string) error) error {
	for objects := a.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: delimiter}); ; {
		o, err := next(ctx, objects)
		if err == io.EOF { // not errors.Is: the error of a broken connection wraps io.EOF
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing the archive: %w", bucket.Explain(err))
		}
		if err := f(o.Key); err != nil {
			return err
		}
	}
}

func next(ctx context.Context, objects *blob.ListIterator) (*blob.ListObject, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return objects.Next(ctx)
}
