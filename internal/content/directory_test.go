package content

import (
	"crypto/sha256"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// States of the directory behave the same in a folder, in memory and on S3: each is stored once,
// under its digest, and a damaged one is replaced.
func TestStatesOfTheDirectory(t *testing.T) {
	server := httptest.NewServer(&fakeS3{objects: map[string][]byte{}, parts: map[string][]byte{}})
	t.Cleanup(server.Close)
	for name, address := range map[string]string{
		"folder": filepath.Join(t.TempDir(), "content"), "memory": "mem://",
		"S3": "s3://clinic?region=eu-west-1&anonymous=true&use_path_style=true&endpoint=" + server.URL,
	} {
		t.Run(name, func(t *testing.T) {
			s, state := open(t, address), []byte("a state")
			digest := sha256.Sum256(state)
			if _, err := s.Directory(t.Context(), digest); !errors.Is(err, ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			stored := func() {
				t.Helper()
				must(t, s.StoreDirectory(t.Context(), state))
				if got, err := s.Directory(t.Context(), digest); err != nil || string(got) != string(state) {
					t.Errorf("it is %q, %v", got, err)
				}
			}
			stored()
			stored()
			must(t, s.bucket.WriteAll(t.Context(), directoryOf(digest), []byte("damaged"), nil))
			if _, err := s.Directory(t.Context(), digest); !errors.Is(err, ErrChanged) {
				t.Errorf("damaged: %v", err)
			}
			stored()
			if name == "S3" { // the fake does not list
				return
			}
			must(t, s.bucket.WriteAll(t.Context(), directories+"another", []byte("x"), nil))
			n := 0
			for got, err := range s.Directories(t.Context()) {
				if n++; err != nil || got != digest {
					t.Errorf("it lists %x, %v", got, err)
				}
			}
			if n != 1 {
				t.Errorf("it lists %d", n)
			}
		})
	}
}
