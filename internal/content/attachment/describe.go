package attachment

import (
	"fmt"
	"mime"
	"net/url"
	"strings"
)

// Describe sets the headers of an answer that is a document: a file to be saved, and
// never a page. The API and the pages hand documents out with them.
func Describe(set func(name, value string), fileName, mediaType string, size int) {
	set("Content-Type", mediaType)
	set("Content-Length", fmt.Sprint(size))
	set("Content-Disposition", disposition(fileName))
	set("Content-Security-Policy", "sandbox; default-src 'none'")
	set("Cache-Control", "private, no-store")
}

// disposition names a download, RFC 6266: in ASCII for old readers, and as it is
// (RFC 8187) for all others.
func disposition(name string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return mime.FormatMediaType("attachment", map[string]string{"filename": ascii}) +
		"; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
