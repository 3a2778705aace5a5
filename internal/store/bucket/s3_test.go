package bucket_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"postern/internal/store/bucket"
	"postern/internal/store/bucket/s3test"
)

func open(t *testing.T, address string) *blob.Bucket {
	t.Helper()
	b, err := bucket.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// For an existing name, S3 behaves like a folder: the write is refused and the object stays
// unchanged. An object below 16 MiB needs one PUT, and the archive's policy allows nothing
// else: for an upload in parts, S3 would check the name only at the end.
func TestANameIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for place, address := range map[string]string{"S3": s3test.New(t).URL, "a folder": t.TempDir()} {
		b := open(t, address)
		for name, first := range map[string][]byte{"small": []byte("a"), "large": bytes.Repeat([]byte("a"), 16<<20-1)} {
			once := &blob.WriterOptions{IfNotExist: true}
			if err := b.WriteAll(t.Context(), name, first, once); err != nil {
				t.Fatalf("%s, %s: %v", place, name, err)
			}
			if err := b.WriteAll(t.Context(), name, []byte("b"), once); gcerrors.Code(err) != gcerrors.FailedPrecondition {
				t.Errorf("%s, %s: a second write returns %v", place, name, err)
			}
			if kept, err := b.ReadAll(t.Context(), name); err != nil || !bytes.Equal(kept, first) {
				t.Errorf("%s, %s: it holds other bytes: %v", place, name, err)
			}
		}
	}
}

// An error for a wrong setting says what to do. An outage is not reported as a wrong setting.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   s3test.Fault
		says    string
		refused bool
	}{
		"nothing":             {nil, "", false},
		"unknown key":         {s3test.Refuses(http.StatusForbidden, "InvalidAccessKeyId"), "set AWS_ACCESS_KEY_ID", true},
		"wrong secret":        {s3test.Refuses(http.StatusForbidden, "SignatureDoesNotMatch"), "set AWS_SECRET_ACCESS_KEY", true},
		"may not list":        {s3test.Refuses(http.StatusForbidden, "AccessDenied"), "docs/proof.md", true},
		"no bucket":           {s3test.Refuses(http.StatusNotFound, "NoSuchBucket"), "make it", true},
		"another region":      {s3test.Refuses(http.StatusBadRequest, "AuthorizationHeaderMalformed"), "region", true},
		"a clock that is off": {s3test.Refuses(http.StatusForbidden, "RequestTimeTooSkewed"), "clock", true},
		"an outage":           {s3test.Refuses(http.StatusServiceUnavailable, "SlowDown"), "SlowDown", false},
		"away":                {s3test.Unreachable, "EOF", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s3test.New(t)
			s.Fail(c.fault)
			err := bucket.Reach(t.Context(), open(t, s.URL), "")
			if errors.Is(err, bucket.ErrRefused) != c.refused || (err == nil) != (c.says == "") {
				t.Fatalf("it says %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("want an error with %q, got %v", c.says, err)
			}
		})
	}
}
