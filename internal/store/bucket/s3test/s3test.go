// Package s3test is an S3 object store in the test's own process, which tests use through
// the AWS SDK as production does. Its bucket has object lock and a default retention, as
// docs/proof.md describes it for clinics: it checks every write like S3, refuses to write a
// name twice and to delete, and can be made to fail.
package s3test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const name = "clinic-archive"

// A Server is an object store with one bucket.
type Server struct {
	URL     string // of the bucket, for ARCHIVE_URL and CONTENT_URL
	backend *s3mem.Backend
	fault   atomic.Pointer[Fault]
}

// A Fault may answer a request instead of the store, and reports whether it did.
type Fault func(http.ResponseWriter, *http.Request) bool

var credentials = sync.OnceFunc(func() {
	for variable, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"} {
		if err := os.Setenv(variable, value); err != nil {
			panic(err)
		}
	}
})

// New starts a store. It sets the credentials in the environment.
func New(t testing.TB) *Server {
	t.Helper()
	credentials()
	s := &Server{backend: s3mem.New()}
	if err := s.backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	store := gofakes3.New(s.backend, gofakes3.WithTimeSkewLimit(0)).Server()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := s.fault.Load(); fault != nil && (*fault)(w, r) {
			return
		}
		if !locked(w, r) {
			store.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	s.URL = "s3://" + name + "?use_path_style=true&endpoint=" + front.URL
	return s
}

// locked refuses the requests that a bucket with object lock and the policy of docs/proof.md
// refuses: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html,
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
func locked(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method == http.MethodDelete, r.Method == http.MethodPost:
		refuse(w, http.StatusForbidden, "AccessDenied")
	case r.Method == http.MethodPut && r.Header.Get("If-None-Match") != "*":
		refuse(w, http.StatusForbidden, "AccessDenied")
	case r.Method == http.MethodPut && !hasChecksum(r.Header):
		refuse(w, http.StatusBadRequest, "InvalidRequest")
	default:
		return false
	}
	return true
}

func hasChecksum(h http.Header) bool {
	for name := range h {
		if name == "Content-Md5" || strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Sdk-Checksum-Algorithm" {
			return true
		}
	}
	return false
}

// refuse answers with an error in S3's format.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, code)
}

// Fail makes requests fail with f, until it is called with nil.
func (s *Server) Fail(f Fault) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Unreachable is a store that breaks every connection.
func Unreachable(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// Hangs is a store that accepts requests and never answers.
func Hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // only then is the end of the client's connection detected
	<-r.Context().Done()
	return true
}

// ReadOnly is a store whose policy allows no writing.
func ReadOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodPut {
		refuse(w, http.StatusForbidden, "AccessDenied")
	}
	return r.Method == http.MethodPut
}

// Refuses is a store that answers every request with an error of S3.
func Refuses(status int, code string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool { refuse(w, status, code); return true }
}

// Put writes an object as an administrator of the store could.
func (s *Server) Put(t testing.TB, key, data string) {
	t.Helper()
	s.Delete(t, key) // removes the checksum of the old bytes too
	if _, err := s.backend.PutObject(name, key, map[string]string{}, strings.NewReader(data), int64(len(data)), nil); err != nil {
		t.Fatal(err)
	}
}

// Delete deletes an object as an administrator of the store could.
func (s *Server) Delete(t testing.TB, key string) {
	t.Helper()
	if _, err := s.backend.DeleteObject(name, key); err != nil {
		t.Fatal(err)
	}
}
