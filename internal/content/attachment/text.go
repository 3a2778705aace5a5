package attachment

import (
	"bytes"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"postern/internal/text/charset"
)

// Text gives what a document of plain text or CSV says, as UTF-8, whatever encoding
// it was saved in. What is stored of the document, and handed out to be saved, stays
// as it was uploaded.
func Text(data []byte) string {
	c := charset.Of(data)
	if isUTF16(c) && len(data)%2 == 1 { // behind its last character: DOS writes the byte alone
		data = bytes.TrimSuffix(data, []byte(endOfFile))
	}
	return strings.TrimRight(c.Decode(data), endOfFile)
}

func isUTF16(c charset.Charset) bool { return c == charset.UTF16LE || c == charset.UTF16BE }

// endOfFile is what programs of DOS, and some since, write at the end of a text.
const endOfFile = "\x1A"

// sniffText names the type of a text by what it says in UTF-8, so that HTML is found
// in UTF-16 too. What holds bytes that are in no text is "".
func sniffText(data []byte) string {
	text := Text(data)
	if strings.ContainsFunc(text, isBinary) {
		return ""
	}
	if isUTF16(charset.Of(data)) && strings.ContainsRune(text, '\uFFFD') {
		return ""
	}
	detected := mimetype.Detect([]byte(text))
	for m := detected; m != nil; m = m.Parent() {
		if m.Is("text/plain") {
			return mediaType(detected)
		}
	}
	return ""
}

// mediaType is the name of a type without parameters.
func mediaType(m *mimetype.MIME) string {
	name, _, _ := strings.Cut(m.String(), ";")
	return name
}

// isBinary says whether a byte below 0x80 is in no text.
// https://mimesniff.spec.whatwg.org/#binary-data-byte
func isBinary(r rune) bool {
	return r <= 0x08 || r == 0x0B || (0x0E <= r && r <= 0x1A) || (0x1C <= r && r <= 0x1F)
}

// pdfAfter is how many bytes may stand before a PDF's first line: PDF readers look
// for it so far. (PDF 1.7, implementation note 13.)
const pdfAfter = 1024

// startsPDF says whether a file is a PDF from its beginning, blanks and a mark of the
// byte order aside. Anything else in front could be a program.
func startsPDF(data []byte) bool {
	rest := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")), " \t\r\n\f\x00")
	return bytes.HasPrefix(rest, []byte("%PDF-")) && len(data)-len(rest) <= pdfAfter
}
