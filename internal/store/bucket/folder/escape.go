package folder

import (
	"net/url"
	"path"
	"strings"
)

// emptySegment stands for the nothing between two slashes. No other segment
// escapes to it, for a percent sign becomes %25.
const emptySegment = "%"

// escape makes a key the path of a file inside the folder, one to one. No
// segment of it is empty, "." or "..", or begins with a dot.
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

// unescape gives the key of a file's path. A file that escape never named,
// because somebody else put it there, goes under its own name.
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
