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
	return inWords(e.Found)
}

// namedText reports whether the name has an extension of a text file.
func (e *TypeError) namedText() bool {
	return hasExtension(e.Name, csv.extensions) || hasExtension(e.Name, plainText.extensions)
}

// kindsInWords says of media types, by their prefix, in plain words why they are refused. The first match counts.
var kindsInWords = []struct{ begins, words string }{
	{"text/html", "is a web page (HTML), which can’t be sent"},
	{"application/xhtml", "is a web page (HTML), which can’t be sent"},
	{"image/svg", "is a drawing that can contain programs (SVG), which can’t be sent"},
	{"text/xml", "is data in XML, which can’t be sent"},
	{"application/xml", "is data in XML, which can’t be sent"},
	{"application/json", "is data in JSON, which can’t be sent"},
	{"application/dicom", "is a DICOM picture, which can’t be sent"},
	{"application/x-ole-storage", "is an Office file in the old format (.doc, .xls or .ppt), or one with a password, which can’t be sent"},
	{"application/msword", "is an Office file in the old format (.doc), which can’t be sent"},
	{"application/vnd.ms-", "is an Office file of a type that can contain macros, which can’t be sent"},
	{"application/vnd.openxmlformats", "is an Office file of another type, which can’t be sent"},
	{"application/vnd.oasis", "is an OpenDocument file of another type, which can’t be sent"},
	{zipType, "is a ZIP archive or a similar file, which can’t be sent"},
	{"application/gzip", "is an archive, which can’t be sent"},
	{"application/x-7z", "is an archive, which can’t be sent"},
	{"application/x-rar", "is an archive, which can’t be sent"},
	{"application/x-tar", "is an archive, which can’t be sent"},
	{"application/x-bzip", "is an archive, which can’t be sent"},
	{"application/x-xz", "is an archive, which can’t be sent"},
	{"application/zstd", "is an archive, which can’t be sent"},
	{"application/vnd.microsoft.portable-executable", "is a program, which can’t be sent"},
	{"application/x-elf", "is a program, which can’t be sent"},
	{"application/x-executable", "is a program, which can’t be sent"},
	{"application/x-sharedlib", "is a program, which can’t be sent"},
	{"application/x-object", "is a program, which can’t be sent"},
	{"application/x-mach", "is a program, which can’t be sent"},
	{"application/java", "is a program, which can’t be sent"},
	{"text/x-", "is a program, which can’t be sent"},
	{"text/javascript", "is a program, which can’t be sent"},
	{"image/", "is a picture of another type, which can’t be sent"},
	{"audio/", "is a sound recording, which can’t be sent"},
	{"video/", "is a video, which can’t be sent"},
	{"font/", "is a font, which can’t be sent"},
}

// inWords says in plain words why a media type is refused.
func inWords(mediaType string) string {
	if strings.HasSuffix(mediaType, withMacros) {
		return "is an Office file with macros, which can’t be sent"
	}
	for _, k := range kindsInWords {
		if strings.HasPrefix(mediaType, k.begins) {
			return k.words
		}
	}
	return "is of another type, which can’t be sent"
}
