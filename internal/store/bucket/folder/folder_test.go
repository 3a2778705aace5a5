package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"pgregory.net/rapid"
)

// Each case is the state on disk after a crash at one point of a write.
func TestOpenAfterACrashDuringAWrite(t *testing.T) {
	cases := []struct {
		name     string
		leave    func(t *testing.T, dir string)
		wantBlob string // "" for none
	}{
		{"before all data was written", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, tempDir, "half"), "con")
		}, ""},
		{"before the name", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, tempDir, "whole"), "content")
		}, ""},
		{"between the naming and the removal of the temporary file", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, tempDir, "linked"), "content")
			must(t, os.Mkdir(filepath.Join(dir, "bodies"), 0o700))
			must(t, os.Link(filepath.Join(dir, tempDir, "linked"), filepath.Join(dir, "bodies", "1")))
		}, "content"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, tempDir), 0o700))
			c.leave(t, dir)
			age(t, filepath.Join(dir, tempDir))

			b := openBucket(t, dir)
			if got := readBlob(t, b, "bodies/1"); got != c.wantBlob {
				t.Errorf("the blob is %q, want %q", got, c.wantBlob)
			}
			if left := temporaries(t, dir); len(left) > 0 {
				t.Errorf("temporary files left after the next start: %v", left)
			}
			// A retry of the write must succeed from this state.
			must(t, b.WriteAll(t.Context(), "bodies/1", []byte("content"), nil))
			if got := readBlob(t, b, "bodies/1"); got != "content" {
				t.Errorf("after the retry the blob is %q", got)
			}
		})
	}
}

func TestStartLeavesLiveUploadsAlone(t *testing.T) {
	dir := t.TempDir()
	first := openBucket(t, dir)
	w, err := first.NewWriter(t.Context(), "attachments/1", &blob.WriterOptions{ContentType: contentType})
	must(t, err)
	_, err = io.WriteString(w, "content")
	must(t, err)
	openBucket(t, dir) // another process starts
	must(t, w.Close())
	if got := readBlob(t, first, "attachments/1"); got != "content" {
		t.Errorf("the blob is %q", got)
	}
}

// Each step is synced in this order before the write returns.
func TestAWriteSyncsBeforeItReturns(t *testing.T) {
	b, err := open(t.TempDir())
	must(t, err)
	var synced []string
	b.sync = func(f *os.File) error {
		name := f.Name()
		if strings.Contains(name, tempDir) {
			name = "the data"
		}
		synced = append(synced, filepath.Base(name))
		return f.Sync()
	}
	bucket := blob.NewBucket(b)
	defer func() { must(t, bucket.Close()) }()
	must(t, bucket.WriteAll(t.Context(), "bodies/1", []byte("x"), nil))
	want := []string{"the data", ".", "bodies"}
	if diff := cmp.Diff(want, synced); diff != "" {
		t.Errorf("the first write in a folder (-want +got):\n%s", diff)
	}
	synced = nil
	must(t, bucket.WriteAll(t.Context(), "bodies/2", []byte("x"), &blob.WriterOptions{IfNotExist: true}))
	if diff := cmp.Diff([]string{"the data", "bodies"}, synced); diff != "" {
		t.Errorf("the next write (-want +got):\n%s", diff)
	}
	synced = nil
	err = bucket.WriteAll(t.Context(), "bodies/2", []byte("y"), &blob.WriterOptions{IfNotExist: true})
	if gcerrors.Code(err) != gcerrors.FailedPrecondition {
		t.Errorf("a second create: %v", err)
	}
	if diff := cmp.Diff([]string{"the data", "bodies"}, synced); diff != "" {
		t.Errorf("a refused create must also make the name of the existing blob durable (-want +got):\n%s", diff)
	}
	synced = nil
	must(t, bucket.Delete(t.Context(), "bodies/2"))
	if diff := cmp.Diff([]string{"bodies"}, synced); diff != "" {
		t.Errorf("a delete (-want +got):\n%s", diff)
	}
}

func TestAFailedSyncStoresNothing(t *testing.T) {
	dir := t.TempDir()
	b, err := open(dir)
	must(t, err)
	broken := errors.New("input/output error")
	b.sync = func(f *os.File) error { return broken }
	bucket := blob.NewBucket(b)
	defer func() { must(t, bucket.Close()) }()
	if err := bucket.WriteAll(t.Context(), "bodies/1", []byte("x"), nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want the disk's error", err)
	}
	if got := readBlob(t, bucket, "bodies/1"); got != "" {
		t.Errorf("the blob exists: %q", got)
	}
	if left := temporaries(t, dir); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestOnlyOneOfManyCreatorsSucceeds(t *testing.T) {
	dir := t.TempDir()
	const writers = 16
	var wins sync.Map
	var wg sync.WaitGroup
	for i := range writers {
		b := openBucket(t, dir) // each like a separate process
		wg.Go(func() {
			content := fmt.Sprintf("writer %d", i)
			err := b.WriteAll(context.Background(), "manifests/1", []byte(content), &blob.WriterOptions{IfNotExist: true})
			switch gcerrors.Code(err) {
			case gcerrors.OK:
				wins.Store(content, true)
			case gcerrors.FailedPrecondition:
			default:
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var winners []string
	wins.Range(func(k, _ any) bool { winners = append(winners, k.(string)); return true })
	if diff := cmp.Diff([]string{readBlob(t, openBucket(t, dir), "manifests/1")}, winners); diff != "" {
		t.Errorf("the stored blob, and the creators that succeeded (-stored +succeeded):\n%s", diff)
	}
}

func TestNoKeyLeadsOutOfTheFolder(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "content")
	b := openBucket(t, dir)
	write(t, filepath.Join(outer, "secret"), "not yours")
	for _, key := range []string{"../secret", "/../secret", "a/../../secret", "b/..", "%2E%2E/secret", ".tmp/x", "./secret"} {
		if got := readBlob(t, b, key); got != "" {
			t.Errorf("reading %q gave %q", key, got)
		}
		must(t, b.WriteAll(t.Context(), key, []byte("mine"), nil))
		if got := readBlob(t, b, key); got != "mine" {
			t.Errorf("%q holds %q", key, got)
		}
	}
	must(t, os.Symlink(outer, filepath.Join(dir, "link")))
	if got := readBlob(t, b, "link/secret"); got != "" {
		t.Errorf("a symbolic link led to %q", got)
	}
	if err := b.WriteAll(t.Context(), "link/x", []byte("x"), nil); err == nil {
		t.Error("a write through a symbolic link succeeded")
	}
	entries, err := os.ReadDir(outer)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("a file was written beside the folder: %v", entries)
	}
	if left := temporaries(t, dir); len(left) > 0 {
		t.Errorf("keys or temporary files in the temporary folder: %v", left)
	}
}

func TestEscapeIsOneToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("./%a2E\\\x00")))).Draw(t, "key")
		name := escape(key)
		if got := unescape(name); got != key {
			t.Fatalf("escape gave %q, and that gave back %q", name, got)
		}
		if !fs.ValidPath(name) || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
			t.Fatalf("escape gave %q", name)
		}
	})
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "content")
	must(t, openBucket(t, dir).WriteAll(t.Context(), "bodies/1", []byte("x"), nil))
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", name, info.Mode())
		}
		return err
	}))
}

func openBucket(t *testing.T, dir string) *blob.Bucket {
	t.Helper()
	b, err := Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// readBlob returns the blob's bytes, or "" if there is no blob.
func readBlob(t *testing.T, b *blob.Bucket, key string) string {
	t.Helper()
	data, err := b.ReadAll(t.Context(), key)
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound && !strings.Contains(err.Error(), "escapes") {
		t.Fatal(err)
	}
	return string(data)
}

func temporaries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tempDir))
	must(t, err)
	return entries
}

// age makes every file in dir old enough to count as left by a crash.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-2 * staleAfter)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		must(t, os.Chtimes(filepath.Join(dir, e.Name()), old, old))
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.WriteFile(name, []byte(content), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
