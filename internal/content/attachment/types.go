package attachment

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// kind is a type of file that may be attached.
type kind struct {
	label      string
	mediaType  string
	extensions []string // the first is added to a name that has none of them
	sniffed    []string // other names that package mimetype uses for the type
}

// allowed is the complete allow-list. Left out are, among others:
//   - HTML, SVG, XML and scripts: they run in a browser;
//   - executables, archives and office files with macros: they can't be checked;
//   - .doc, .xls and .ppt: they may hold macros without a sign of it; password-protected
//     office files have the same form and can't be scanned;
//   - DICOM: it begins with 128 bytes of arbitrary data, which may be a program, and
//     patients have no program to open it; staff should export the image instead;
//   - audio and video: they are too large.
var allowed = []kind{
	{"PDF", "application/pdf", []string{".pdf"}, nil},
	{"PNG", "image/png", []string{".png"}, []string{"image/apng"}},
	{"JPEG", "image/jpeg", []string{".jpg", ".jpeg"}, nil},
	{"GIF", "image/gif", []string{".gif"}, nil},
	{"TIFF", "image/tiff", []string{".tiff", ".tif"}, nil},
	{"WebP", "image/webp", []string{".webp"}, nil},
	{"HEIC", "image/heic", []string{".heic", ".heif", ".heics", ".heifs", ".hif"}, []string{"image/heif", "image/heic-sequence", "image/heif-sequence"}},
	{"RTF", "application/rtf", []string{".rtf"}, []string{"text/rtf"}},
	{"Word (.docx)", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", []string{".docx"}, nil},
	{"Excel (.xlsx)", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", []string{".xlsx"}, nil},
	{"PowerPoint (.pptx)", "application/vnd.openxmlformats-officedocument.presentationml.presentation", []string{".pptx"}, nil},
	{"OpenDocument text (.odt)", "application/vnd.oasis.opendocument.text", []string{".odt"}, nil},
	{"OpenDocument spreadsheet (.ods)", "application/vnd.oasis.opendocument.spreadsheet", []string{".ods"}, nil},
	{"OpenDocument presentation (.odp)", "application/vnd.oasis.opendocument.presentation", []string{".odp"}, nil},
	// The content can't distinguish a letter with commas from a table, so the name decides.
	csv,
	plainText,
}

var (
	csv = kind{"CSV", "text/csv", []string{".csv"}, nil}

	plainText = kind{"plain text", "text/plain", []string{".txt"}, []string{
		"text/tab-separated-values",
		"message/rfc822", // a letter that begins with Date: and To:
	}}
)

// Allowed returns the names of the allowed types, for people to read.
func Allowed() []string {
	labels := make([]string, len(allowed))
	for i, k := range allowed {
		labels[i] = k.label
	}
	return labels
}

// Extensions returns the file name extensions of the allowed types, each with its dot.
func Extensions() (all []string) {
	for _, k := range allowed {
		all = append(all, k.extensions...)
	}
	return all
}

// kindOf detects the type of a file from its bytes, or returns a *TypeError. The name
// only decides between plain text and CSV.
func kindOf(data []byte, name string) (kind, error) {
	found := sniff(data)
	i := slices.IndexFunc(allowed, func(k kind) bool {
		return k.mediaType == found || slices.Contains(k.sniffed, found)
	})
	if i < 0 {
		return kind{}, &TypeError{Name: CleanName(name), Found: found}
	}
	switch k := allowed[i]; k.mediaType {
	case csv.mediaType, plainText.mediaType:
		if hasExtension(name, csv.extensions) {
			return csv, nil
		}
		return plainText, nil
	default:
		return k, nil
	}
}

// sniff returns the media type of a file without parameters, or one of the results
// unknown and pdfBehind. It uses package mimetype, which reads the beginning, and is
// stricter where that is not enough.
func sniff(data []byte) string {
	if startsPDF(data) {
		return "application/pdf"
	}
	detected := mimetype.Detect(data)
	for m := detected; m != nil; m = m.Parent() {
		switch {
		case m.Is("application/zip"):
			return sniffOffice(data)
		case m.Is("application/pdf"):
			// Like PDF readers, mimetype also looks for the header after other data.
			return pdfBehind
		case m.Is("text/plain"), m.Is("application/octet-stream") && m == detected:
			return cmp.Or(sniffText(data), unknown)
		}
	}
	return mediaType(detected)
}

// nameFor cleans a name and adds an extension of the type if it has none. A different
// extension is kept in front (a.exe becomes a.exe.pdf), because it may be a part of the
// name.
func (k kind) nameFor(name string) string {
	name = CleanName(name)
	if hasExtension(name, k.extensions) {
		return name
	}
	return CleanName(name + k.extensions[0])
}

func hasExtension(name string, extensions []string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}
