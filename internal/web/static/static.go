// Package static serves the files that pages load: one style sheet, scripts and an
// icon, made by `make assets` or written by hand, all embedded.
//
// A page names a file by [URL], which includes a digest of its content, and a browser
// caches it for good. Scripts import one another by plain name; for these the browser
// asks each time whether the file has changed.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed *.css *.js *.svg *.txt vendor
var files embed.FS

// Prefix is the path under which the files are served.
const Prefix = "/static/"

type file struct {
	plain     []byte
	zipped    func() []byte
	mediaType string
	tag       string // the beginning of its SHA-256
}

// all are the files by name. They are read at the first use, and each is compressed at its first
// request, because most processes serve none.
var all = sync.OnceValue(load)

func load() map[string]file {
	found := map[string]file{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(data)
		found[name] = file{data, sync.OnceValue(func() []byte { return zip(data) }), mediaType(name), hex.EncodeToString(digest[:8])}
		return nil
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	return found
}

func zip(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

// mediaType does not ask the operating system, because its list of types differs
// between machines.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// URL returns the address at which browsers cache a file for good. It panics if there
// is no such file.
func URL(name string) string {
	f, ok := all()[name]
	if !ok {
		panic("static: no file " + name)
	}
	return Prefix + name + "?" + f.tag
}

// ServeHTTP serves the files below [Prefix].
func ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := all()[strings.TrimPrefix(r.URL.Path, Prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("ETag", `"`+f.tag+`"`)
	h.Set("Vary", "Accept-Encoding")
	// The files hold nothing of a person. The frame that draws a PDF has no origin of its own, and asks
	// for them as another site would.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "no-cache")
	if r.URL.RawQuery == f.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == `"`+f.tag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	data := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = f.zipped()
	}
	_, _ = w.Write(data)
}
