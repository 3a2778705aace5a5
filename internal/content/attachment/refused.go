package attachment

import (
	"strings"

	"postern/internal/problem"
)

// TypeError is the error for a file of a type that is not allowed.
type TypeError struct {
	Name  string // of the file, cleaned
	Found string // the detected media type, or one of the words below
}

// Results of the detection that are not media types.
const (
	unknown   = "unknown"
	pdfBehind = "PDF behind something else"
)

func (e *TypeError) Error() string {
	return "“" + e.Name + "” " + e.Reason() + ". Send a file of one of these types: " + strings.Join(Allowed(), ", ")
}

// Problem is the answer to a request with such a file.
func (e *TypeError) Problem() *problem.Error {
	return problem.Field(problem.AttachmentRefused, "body.file", e.Error())
}

// Reason describes the file in plain words, as the end of a sentence about it.
func (e *TypeError) Reason() string {
	switch {
	case e.Found == pdfBehind:
		return "has other data in front of the PDF: open it and save it as PDF again"
	case e.Found == unknown && !e.namedText():
		return "is of an unknown type"
	case e.Found == unknown:
		return "holds characters that a text file can’t have: save it as UTF-8"
	}
	return "is " + inWords(e.Found) + ", which can’t be sent"
}

// namedText reports whether the name has an extension of a text file.
func (e *TypeError) namedText() bool {
	return hasExtension(e.Name, csv.extensions) || hasExtension(e.Name, plainText.extensions)
}

// kindsInWords holds plain words for media types by their prefix. The first match counts.
var kindsInWords = []struct{ begins, words string }{
	{"text/html", "a web page (HTML)"},
	{"application/xhtml", "a web page (HTML)"},
	{"image/svg", "a drawing that can contain programs (SVG)"},
	{"text/xml", "data in XML"},
	{"application/xml", "data in XML"},
	{"application/json", "data in JSON"},
	{"application/dicom", "a DICOM picture"},
	{"application/x-ole-storage", "an Office file in the old format (.doc, .xls or .ppt), or one with a password"},
	{"application/msword", "an Office file in the old format (.doc)"},
	{"application/vnd.ms-", "an Office file of a type that can contain macros"},
	{"application/vnd.openxmlformats", "an Office file of another type"},
	{"application/vnd.oasis", "an OpenDocument file of another type"},
	{zipType, "a ZIP archive or a similar file"},
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
	{"image/", "a picture of another type"},
	{"audio/", "a sound recording"},
	{"video/", "a video"},
	{"font/", "a font"},
}

// inWords returns the plain words for a media type.
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
