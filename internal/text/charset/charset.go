// Package charset detects the encoding of a text, and decodes it to UTF-8.
//
// It supports the encodings in which common programs save plain text: UTF-8, UTF-16
// ("Unicode" in Windows) and Windows-1252 ("ANSI").
package charset

import (
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Charset is an encoding of text.
type Charset string

// The supported encodings.
const (
	UTF8        Charset = "UTF-8"
	UTF16LE     Charset = "UTF-16LE"
	UTF16BE     Charset = "UTF-16BE"
	Windows1252 Charset = "windows-1252"
)

// Byte order marks, which may be at the beginning of a text.
const (
	markUTF8    = "\xEF\xBB\xBF"
	markUTF16LE = "\xFF\xFE"
	markUTF16BE = "\xFE\xFF"
)

// Of detects the encoding of a text from its beginning, or from all of it. With more text
// it distinguishes UTF-8 from Windows-1252 more reliably. UTF-16 without a byte order
// mark is detected by the zero bytes of ASCII characters.
func Of(text []byte) Charset {
	switch {
	case bytes.HasPrefix(text, []byte(markUTF16LE)):
		return UTF16LE
	case bytes.HasPrefix(text, []byte(markUTF16BE)):
		return UTF16BE
	case bytes.HasPrefix(text, []byte(markUTF8)):
		return UTF8
	}
	if found := unmarkedUTF16(text); found != "" {
		return found
	}
	if isUTF8(text) {
		return UTF8
	}
	return Windows1252
}

// isUTF8 reports whether text is UTF-8. The last character may be incomplete.
func isUTF8(text []byte) bool {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i]; utf8.RuneStart(last) {
			if !utf8.FullRune(text[len(text)-i:]) {
				text = text[:len(text)-i]
			}
			break
		}
	}
	return utf8.Valid(text)
}

// unmarkedUTF16 detects UTF-16 by the zero bytes of Latin letters, if at least half of
// the characters are Latin letters; otherwise it returns "". A zero byte in the other half
// of a character is rare (emoji have one).
func unmarkedUTF16(text []byte) Charset {
	pairs := len(text) / 2
	zeros := [2]int{}
	for i := range 2 * pairs {
		if text[i] == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case zeros[1] > 0 && 2*zeros[1] >= pairs && 8*zeros[0] < pairs:
		return UTF16LE
	case zeros[0] > 0 && 2*zeros[0] >= pairs && 8*zeros[1] < pairs:
		return UTF16BE
	}
	return ""
}

func (c Charset) encoding() encoding.Encoding {
	switch c {
	case UTF16LE:
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case UTF16BE:
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case Windows1252:
		return charmap.Windows1252
	}
	return unicode.UTF8BOM
}

// NewReader returns a reader that decodes a text to UTF-8 and removes a byte order mark.
// Invalid bytes become U+FFFD.
func (c Charset) NewReader(text io.Reader) io.Reader {
	return transform.NewReader(text, c.encoding().NewDecoder())
}

// Decode decodes a text to UTF-8 like [Charset.NewReader].
func (c Charset) Decode(text []byte) string {
	decoded, _, err := transform.Bytes(c.encoding().NewDecoder(), text)
	if err != nil {
		return string(bytes.ToValidUTF8(text, []byte("\uFFFD"))) // not reached: these decoders replace invalid bytes
	}
	return string(decoded)
}
