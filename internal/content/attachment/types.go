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
	extensions []string // the first is added to a name that ends in none of them
	sniffed    []string // what mimetype calls it, where that is another name
}

// allowed is the allow-list, the whole of it. Left out, among others:
//   - HTML, SVG, XML and scripts run in a browser;
//   - executables and archives, and office files with macros, can't be judged;
//   - .doc, .xls and .ppt hold macros without saying so; password-protected
//     office files have their form and can't be scanned;
//   - DICOM begins with 128 bytes that anything may stand in, a program too,
//     and patients have nothing that opens it: export the image;
//   - audio and video do not fit.
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
	// No byte tells a letter with commas in it from a table: the name does.
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

// Allowed names the types that may be attached, for people to read.
func Allowed() []string {
	labels := make([]string, len(allowed))
	for i, k := range allowed {
		labels[i] = k.label
	}
	return labels
}

// Extensions are those that the names of such files end in, each with its dot.
func Extensions() (all []string) {
	for _, k := range allowed {
		all = append(all, k.extensions...)
	}
	return all
}

// kindOf finds what a file is from its bytes, or returns a *TypeError. The name
// decides between plain text and CSV, and nothing else.
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

// sniff names the media type of a file, without parameters, or says what else it is.
// It asks mimetype, which reads the beginning, and is stricter where that is not
// enough.
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
			// mimetype, as PDF readers do, looks for the header further on too.
			return pdfBehind
		case m.Is("text/plain"), m.Is("application/octet-stream") && m == detected:
			return cmp.Or(sniffText(data), unknown)
		}
	}
	return mediaType(detected)
}

// nameFor cleans a name and makes it end in an extension of the kind: one that
// says something else stays, with the right one after it (a.exe becomes
// a.exe.pdf), for it may be a part of the name.
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
