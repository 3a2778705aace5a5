package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/iotest"
)

// The same guarantees hold on S3, for blobs that are uploaded at once and in parts.
func TestS3(t *testing.T) {
	fake := &fakeS3{objects: map[string][]byte{}, parts: map[string][]byte{}}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	s := open(t, "s3://clinic?region=eu-west-1&anonymous=true&use_path_style=true&endpoint="+server.URL)
	for _, size := range []int{100, 17 << 20} {
		name := Name(fmt.Sprintf("manifests/%d", size))
		key, data := newKey(t, s), randomBytes(size)
		if _, err := s.Get(t.Context(), name, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("%d bytes, before: %v", size, err)
		}
		broken := errors.New("connection reset")
		_, err := s.Create(t.Context(), name, key, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("%d bytes, a reader that failed: %v", size, err)
		}
		if _, err := s.Get(t.Context(), name, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("%d bytes, after a reader that failed: %v", size, err)
		}
		_, err = s.Create(t.Context(), name, key, bytes.NewReader(data))
		must(t, err)
		if _, err := s.Create(t.Context(), name, key, bytes.NewReader(data)); !errors.Is(err, ErrExists) {
			t.Errorf("%d bytes, created twice: %v", size, err)
		}
		if got, err := readAll(t.Context(), s, name, key); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		for range 2 {
			must(t, s.Delete(t.Context(), name))
		}
	}
	server.Close()
	if len(fake.objects) > 0 || len(fake.parts) > 0 {
		t.Errorf("left behind: %d objects, %d parts", len(fake.objects), len(fake.parts))
	}
}

// fakeS3 implements the part of S3 that blobs need: objects, uploads in parts (one at a
// time), and If-None-Match.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string][]byte // by number
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name, q := r.URL.Path[len("/clinic/"):], r.URL.Query()
	w.Header().Set("ETag", `"1"`)
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut && q.Has("uploadId"):
		f.parts[q.Get("partNumber")] = body
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		clear(f.parts)
	case r.Method == http.MethodPost:
		var whole []byte
		for i := range len(f.parts) {
			whole = append(whole, f.parts[fmt.Sprint(i+1)]...)
		}
		clear(f.parts)
		if f.store(w, r, name, whole) {
			_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>`)
		}
	case r.Method == http.MethodPut:
		f.store(w, r, name, body)
	case r.Method == http.MethodDelete:
		delete(f.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case f.objects[name] == nil:
		s3Error(w, http.StatusNotFound, "NoSuchKey")
	default:
		_, _ = w.Write(f.objects[name])
	}
}

func (f *fakeS3) store(w http.ResponseWriter, r *http.Request, name string, body []byte) bool {
	if r.Header.Get("If-None-Match") == "*" && f.objects[name] != nil {
		s3Error(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	f.objects[name] = body
	return true
}

func s3Error(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<Error><Code>%s</Code></Error>`, code)
}
