package attachment

import (
	"bytes"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"postern/internal/text/charset"
)

// Text decodes a document of plain text or CSV to UTF-8 from any supported encoding. The
// stored document, which people download, stays as it was uploaded.
func Text(data []byte) string {
	c := charset.Of(data)
	if isUTF16(c) && len(data)%2 == 1 { // at the end of UTF-16, DOS writes endOfFile as a single byte
		data = bytes.TrimSuffix(data, []byte(endOfFile))
	}
	return strings.TrimRight(c.Decode(data), endOfFile)
}

func isUTF16(c charset.Charset) bool { return c == charset.UTF16LE || c == charset.UTF16BE }

// endOfFile is the character that DOS programs, and some later ones, write at the end of
// a text.
const endOfFile = "\x1A"

// sniffText returns the media type of a text. It decodes the text first, so that HTML is
// detected in UTF-16 too. It returns "" if the data has bytes that a text can't have.
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

// mediaType returns the name of a type without parameters.
func mediaType(m *mimetype.MIME) string {
	name, _, _ := strings.Cut(m.String(), ";")
	return name
}

// isBinary reports whether a character below 0x80 never occurs in text.
// https://mimesniff.spec.whatwg.org/#binary-data-byte
func isBinary(r rune) bool {
	return r <= 0x08 || r == 0x0B || (0x0E <= r && r <= 0x1A) || (0x1C <= r && r <= 0x1F)
}

// pdfAfter is the maximum number of bytes before a PDF's first line: PDF readers look for
// it that far. (PDF 1.7, implementation note 13.)
const pdfAfter = 1024

// startsPDF reports whether a file begins as a PDF, after an optional byte order mark and
// blanks. Other data in front could be a program.
func startsPDF(data []byte) bool {
	rest := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")), " \t\r\n\f\x00")
	return bytes.HasPrefix(rest, []byte("%PDF-")) && len(data)-len(rest) <= pdfAfter
}
