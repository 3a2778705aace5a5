package folder

import (
	"net/url"
	"path"
	"strings"
)

// emptySegment is the escaped form of an empty segment between two slashes. No other
// segment has this form, because a percent sign becomes %25.
const emptySegment = "%"

// escape converts a key to the path of a file inside the folder, one to one. No segment of
// the path is empty, "." or "..", or begins with a dot.
func escape(key string) string {
	segments := strings.Split(key, "/")
	for i, s := range segments {
		switch {
		case s == "":
			segments[i] = emptySegment
		case s[0] == '.':
			segments[i] = "%2E" + url.PathEscape(s[1:])
		default:
			segments[i] = url.PathEscape(s)
		}
	}
	return path.Join(segments...)
}

// unescape returns the key of a file's path. For a foreign file whose name escape never
// makes, the key is the name.
func unescape(name string) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		if s == emptySegment {
			segments[i] = ""
		} else if key, err := url.PathUnescape(s); err == nil {
			segments[i] = key
		}
	}
	return strings.Join(segments, "/")
}
