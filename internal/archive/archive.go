// Package archive keeps signed checkpoints and sealed segments of the record
// outside of NATS and Postgres, in a bucket that whoever administers those should
// not control (ARCHIVE_URL). It only ever creates: no name is used twice, so that
// the bucket may forbid changing and deleting (S3 object lock).
//
//	checkpoints/2026-03-01/00000000000001204331-1f0c….txt
//	segments/00000000000001200001-00000000000001204331-9ab3….zst
//
// A checkpoint's name holds the day on which it was signed, its size, and the
// beginning of the SHA-256 of its text. A segment's holds its first and last
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

	"postern/internal/bucket"
)

const (
	checkpoints = "checkpoints/"
	segments    = "segments/"
)

// Archive is a bucket. It is safe for concurrent use, also by several processes.
type Archive struct{ bucket *blob.Bucket }

// Open opens the archive that ARCHIVE_URL names; see [bucket.Open].
func Open(ctx context.Context, address string) (*Archive, error) {
	b, err := bucket.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	return &Archive{bucket: b}, nil
}

// Close closes the bucket.
func (a *Archive) Close() error { return a.bucket.Close() }

// A Checkpoint is a signed checkpoint in the archive.
type Checkpoint struct {
	Name string
	Size uint64
}

// PutCheckpoint stores a checkpoint. Doing so again changes nothing.
func (a *Archive) PutCheckpoint(ctx context.Context, size uint64, signedAt time.Time, text string) error {
	digest := sha256.Sum256([]byte(text))
	name := fmt.Sprintf("%s%s/%020d-%x.txt", checkpoints, signedAt.UTC().Format(time.DateOnly), size, digest[:8])
	return a.create(ctx, name, []byte(text))
}

// create stores what must be new. What is there under its name is the same,
// because the name holds its digest.
func (a *Archive) create(ctx context.Context, name string, data []byte) error {
	err := a.bucket.WriteAll(ctx, name, data, &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true})
	if err != nil && gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return fmt.Errorf("writing %s to the archive: %w", name, err)
	}
	return nil
}

// Read gives what stands under a name.
func (a *Archive) Read(ctx context.Context, name string) ([]byte, error) {
	data, err := a.bucket.ReadAll(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the archive: %w", name, err)
	}
	return data, nil
}

// Latest gives the checkpoint of the most events, or one of size 0 where there is
// none. It lists the days, and the last of them.
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
		c, err := checkpointOf(name)
		if err == nil && c.Size >= latest.Size {
			latest = c
		}
		return err
	})
	return latest, err
}

// Checkpoints gives every checkpoint, in the order of their names.
func (a *Archive) Checkpoints(ctx context.Context) (all []Checkpoint, err error) {
	err = a.each(ctx, checkpoints, "", func(name string) error {
		c, err := checkpointOf(name)
		all = append(all, c)
		return err
	})
	return all, err
}

// ErrForeign says that the archive holds what was not put there by this package.
var ErrForeign = errors.New("the archive holds a foreign object")

func checkpointOf(name string) (Checkpoint, error) {
	digits, _, _ := strings.Cut(path.Base(name), "-")
	size, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || len(digits) != 20 {
		return Checkpoint{}, fmt.Errorf("%w: %s", ErrForeign, name)
	}
	return Checkpoint{Name: name, Size: size}, nil
}

// A Segment is a run of events in the archive.
type Segment struct {
	Name        string
	First, Last uint64
	SHA256      [sha256.Size]byte
}

// Segments gives every segment, in the order of their first events.
func (a *Archive) Segments(ctx context.Context) (all []Segment, err error) {
	err = a.each(ctx, segments, "", func(name string) error {
		s, err := segmentOf(name)
		all = append(all, s)
		return err
	})
	return all, err
}

func segmentOf(name string) (s Segment, err error) {
	s.Name = name
	parts := strings.Split(strings.TrimSuffix(path.Base(name), ".zst"), "-")
	if len(parts) != 3 {
		return s, fmt.Errorf("%w: %s", ErrForeign, name)
	}
	var errs [3]error
	s.First, errs[0] = strconv.ParseUint(parts[0], 10, 63)
	s.Last, errs[1] = strconv.ParseUint(parts[1], 10, 63)
	n := 0
	n, errs[2] = hex.Decode(s.SHA256[:], []byte(parts[2][:min(len(parts[2]), 2*sha256.Size)]))
	if errors.Join(errs[:]...) != nil || n != sha256.Size || s.Last < s.First {
		return s, fmt.Errorf("%w: %s", ErrForeign, name)
	}
	return s, nil
}

// each calls f with every name below a prefix, in order; with a delimiter, with
// the folders directly below it.
func (a *Archive) each(ctx context.Context, prefix, delimiter string, f func(name string) error) error {
	for objects := a.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: delimiter}); ; {
		o, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing the archive: %w", err)
		}
		if err := f(o.Key); err != nil {
			return err
		}
	}
}
