// Package bucket opens the blob buckets of the settings: for content, and for the archive.
// A blob is durable once its write has returned: then it is on disk (see package folder)
// or in the object store.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob" // s3:// addresses

	"postern/internal/store/bucket/folder"
)

// Open opens a bucket. The address is a folder (a path, or file:///path), which is created
// if it doesn't exist; an s3:// bucket (with credentials and region as the AWS SDK finds
// them, or in the query: https://gocloud.dev/howto/blob/#s3); or mem:// for tests. The
// caller must close the bucket.
func Open(ctx context.Context, address string) (*blob.Bucket, error) {
	scheme, _, isURL := strings.Cut(address, "://")
	switch {
	case address == "":
		return nil, errors.New("no address given: set it to a folder or an s3:// bucket")
	case !isURL:
		return folder.Open(address)
	}
	switch scheme {
	case "file":
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		if (u.Host != "" && u.Host != "localhost") || u.RawQuery != "" || u.Path == "" {
			return nil, fmt.Errorf("%s is not a folder on this machine: use file:///absolute/path or a plain path", address)
		}
		return folder.Open(u.Path)
	case "mem":
		return memblob.OpenBucket(&memblob.Options{NoMD5: true}), nil
	case "s3":
		return blob.OpenBucket(ctx, address)
	default:
		return nil, fmt.Errorf("%s:// is not supported: use a folder, file:/// or s3://", scheme)
	}
}
