package charset

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// utf16Of encodes a text in UTF-16, with or without a byte order mark.
func utf16Of(order binary.AppendByteOrder, mark bool, text string) (b []byte) {
	if mark {
		b = order.AppendUint16(b, 0xFEFF)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

func TestOf(t *testing.T) {
	const text = "Müller, Željko 😀\r\n"
	for _, c := range []struct {
		name string
		data []byte
		want Charset
		says string
	}{
		{"nothing", nil, UTF8, ""},
		{"ASCII", []byte("Ann"), UTF8, "Ann"},
		{"UTF-8", []byte(text), UTF8, text},
		{"UTF-8 with a mark", []byte("\uFEFF" + text), UTF8, text},
		{"UTF-8 cut off in a character", []byte(text)[:2], UTF8, "M\uFFFD"},
		{"UTF-16, little-endian", utf16Of(binary.LittleEndian, true, text), UTF16LE, text},
		{"UTF-16, big-endian", utf16Of(binary.BigEndian, true, text), UTF16BE, text},
		{"UTF-16 of other letters", utf16Of(binary.LittleEndian, true, "Боб"), UTF16LE, "Боб"},
		{"UTF-16, little-endian, without a mark", utf16Of(binary.LittleEndian, false, text), UTF16LE, text},
		{"UTF-16, big-endian, without a mark", utf16Of(binary.BigEndian, false, text), UTF16BE, text},
		{"Windows-1252", []byte("M\xfcller \x80"), Windows1252, "Müller €"},
		{"Windows-1252, its last letter foreign", []byte("Ren\xe9e"), Windows1252, "Renée"},
		{"zeros", make([]byte, 8), UTF8, strings.Repeat("\x00", 8)},
	} {
		got := Of(c.data)
		if got != c.want || got.Decode(c.data) != c.says {
			t.Errorf("%s: got %s, %q", c.name, got, got.Decode(c.data))
		}
	}
}

// Decoding an encoded text gives the same text, whatever the size of the reads.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		text = strings.TrimLeft(strings.ToValidUTF8(text, ""), "\uFEFF")
		for want, data := range map[Charset][]byte{
			UTF8: []byte("\uFEFF" + text), UTF16LE: utf16Of(binary.LittleEndian, true, text), UTF16BE: utf16Of(binary.BigEndian, true, text),
		} {
			read, err := io.ReadAll(want.NewReader(iotest.OneByteReader(strings.NewReader(string(data)))))
			if string(read) != text || err != nil || want.Decode(data) != text {
				t.Fatalf("%s: %q became %q, %v", want, text, read, err)
			}
		}
	})
}
