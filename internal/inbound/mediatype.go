package inbound

import (
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const contentType = "Content-Type"

// MediaType is the media type in a header, in lower case and without parameters (RFC 9110,
// 8.3.1). It is "" if there is none, more than one, or one that can't be parsed.
func MediaType(h http.Header) string {
	is, _ := mediaType(h)
	return is
}

func mediaType(h http.Header) (is string, parameters map[string]string) {
	lines := h.Values(contentType)
	if len(lines) != 1 {
		return "", nil
	}
	is, parameters, err := mime.ParseMediaType(lines[0])
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !strings.Contains(is, "/") {
		return "", nil
	}
	return is, parameters
}

// isJSON also accepts types such as application/problem+json (RFC 6839, 3.1).
func isJSON(mediaType string) bool {
	return mediaType == JSON || strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// canonical normalises the Content-Type of every request. The only parameter that it keeps
// is the boundary: JSON is always UTF-8, whatever charset is given (RFC 8259, 8.1), and so
// are forms.
func canonical(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is, parameters := mediaType(r.Header)
		if is == "" {
			next.ServeHTTP(w, r)
			return
		}
		if boundary := parameters["boundary"]; boundary != "" && strings.HasPrefix(is, "multipart/") {
			is = mime.FormatMediaType(is, map[string]string{"boundary": boundary})
		}
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		r.Header.Set(contentType, is)
		next.ServeHTTP(w, r)
	})
}

// Prefers reports whether a client prefers one media type to another (RFC 9110, 12.5.1). It
// is false without a preference.
func Prefers(h http.Header, one, other string) bool {
	return quality(h, one) > quality(h, other)
}

// quality is that of the most specific range of Accept that includes the media type.
func quality(h http.Header, mediaType string) float64 {
	kind, _, _ := strings.Cut(mediaType, "/")
	found, specific := 0.0, 0
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		is, parameters, err := mime.ParseMediaType(part)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			continue
		}
		how := 0
		switch is {
		case mediaType:
			how = 3
		case kind + "/*":
			how = 2
		case "*/*":
			how = 1
		}
		if how <= specific {
			continue
		}
		found, specific = 1, how
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			found = min(max(q, 0), 1)
		}
	}
	return found
}
