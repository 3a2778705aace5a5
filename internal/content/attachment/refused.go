package attachment

import (
	"strings"

	"postern/internal/problem"
)

// TypeError says that a file is of no allowed type.
type TypeError struct {
	Name  string // of the file, cleaned
	Found string // the media type that the bytes are of, or one of the words below
}

// What a file can be found to be that has no media type.
const (
	unknown   = "unknown"
	pdfBehind = "PDF behind something else"
)

func (e *TypeError) Error() string {
	return "“" + e.Name + "” " + e.Reason() + ". Send a file of one of these types: " + strings.Join(Allowed(), ", ")
}

// Problem is how a request with such a file is answered.
func (e *TypeError) Problem() *problem.Error {
	return problem.Field(problem.AttachmentRefused, "body.file", e.Error())
}

// Reason says in people's words what the file is, as the rest of a sentence about it.
func (e *TypeError) Reason() string {
	switch {
	case e.Found == pdfBehind:
		return "holds something else before its PDF: open it and save it as PDF again"
	case e.Found == unknown && !e.namedText():
		return "is of a type that is not known here"
	case e.Found == unknown:
		return "holds characters that are in no text: save it as UTF-8"
	}
	return "is " + inWords(e.Found) + ", which can’t be sent"
}

// namedText says whether the name is that of a text.
func (e *TypeError) namedText() bool {
	return hasExtension(e.Name, csv.extensions) || hasExtension(e.Name, plainText.extensions)
}

// kindsInWords are the words for media types by how they begin; the first that fits counts.
var kindsInWords = []struct{ begins, words string }{
	{"text/html", "a web page (HTML)"},
	{"application/xhtml", "a web page (HTML)"},
	{"image/svg", "a drawing that can hold programs (SVG)"},
	{"text/xml", "data in XML"},
	{"application/xml", "data in XML"},
	{"application/json", "data in JSON"},
	{"application/dicom", "a DICOM picture"},
	{"application/x-ole-storage", "an Office file of the old kind (.doc, .xls or .ppt), or one with a password"},
	{"application/msword", "an Office file of the old kind (.doc)"},
	{"application/vnd.ms-", "an Office file of a kind that can hold macros"},
	{"application/vnd.openxmlformats", "an Office file of another kind"},
	{"application/vnd.oasis", "an OpenDocument file of another kind"},
	{zipType, "a ZIP archive or another file of several parts"},
	{"application/gzip", "an archive"},
	{"application/x-7z", "an archive"},
	{"application/x-rar", "an archive"},
	{"application/x-tar", "an archive"},
	{"application/x-bzip", "an archive"},
	{"application/x-xz", "an archive"},
	{"application/zstd", "an archive"},
	{"application/vnd.microsoft.portable-executable", "a program"},
	{"application/x-elf", "a program"},
	{"application/x-executable", "a program"},
	{"application/x-sharedlib", "a program"},
	{"application/x-object", "a program"},
	{"application/x-mach", "a program"},
	{"application/java", "a program"},
	{"text/x-", "a program"},
	{"text/javascript", "a program"},
	{"image/", "a picture of another kind"},
	{"audio/", "a sound recording"},
	{"video/", "a video"},
	{"font/", "a font"},
}

// inWords gives what people call a file of a media type.
func inWords(mediaType string) string {
	if strings.HasSuffix(mediaType, withMacros) {
		return "an Office file with macros"
	}
	for _, k := range kindsInWords {
		if strings.HasPrefix(mediaType, k.begins) {
			return k.words
		}
	}
	return "of another type"
}
