package attachment

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"
)

const (
	openXML  = "application/vnd.openxmlformats-officedocument."
	openDoc  = "application/vnd.oasis.opendocument."
	wordMain = openXML + "wordprocessingml.document" + mainPart
)

func TestAllowedTypes(t *testing.T) {
	for _, c := range []struct {
		name, file string
		data       []byte
		want       string
	}{
		{"PDF", "a.pdf", []byte("%PDF-1.7\n%âãÏÓ\n1 0 obj"), "application/pdf"},
		{"PDF after a line break", "a.pdf", []byte("\r\n%PDF-1.4\n"), "application/pdf"},
		{"PDF with the extension of a program", "a.exe", []byte("%PDF-1.7\n"), "application/pdf"},
		{"PNG", "a.png", encoded(func(b *bytes.Buffer, m image.Image) error { return png.Encode(b, m) }), "image/png"},
		{"JPEG", "a.jpg", encoded(func(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }), "image/jpeg"},
		{"GIF", "a.gif", encoded(func(b *bytes.Buffer, m image.Image) error { return gif.Encode(b, m, nil) }), "image/gif"},
		{"TIFF", "a.tif", []byte("II*\x00\x08\x00\x00\x00"), "image/tiff"},
		{"WebP", "a.webp", []byte("RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00"), "image/webp"},
		{"HEIC", "a.heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), "image/heic"},
		{"HEIF", "a.heic", []byte("\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic"), "image/heic"},
		{"RTF", "a.rtf", []byte(`{\rtf1\ansi Dear Ann}`), "application/rtf"},
		{"letter", "a.txt", []byte("Dear Ann,\nyour results are in,\nregards\n"), "text/plain"},
		{"letter with headings", "a.txt", []byte("Date: 3 May\nTo: Ann Lee\nSubject: Results\n\nDear Ann"), "text/plain"},
		{"letter in Latin-1", "a.txt", []byte("Sehr geehrte Frau M\xfcller"), "text/plain"},
		{"letter in UTF-8 with a mark", "", []byte("\xef\xbb\xbfSehr geehrte Frau Müller"), "text/plain"},
		{"table", "a.csv", []byte("date,value\n2026-01-02,7\n"), "text/csv"},
		{"table of one column", "a.CSV", []byte("value\n7\n"), "text/csv"},
		{"table with tabs", "a.tsv", []byte("date\tvalue\n2026-01-02\t7\n"), "text/plain"},
		{"script that looks like text", "a.js", []byte("alert(1)"), "text/plain"},
		{"Word", "a.docx", ooxml(wordMain), openXML + "wordprocessingml.document"},
		{"Word, with large parts first", "a.docx", zipped("word/media/scan.jpg", strings.Repeat("x", 1<<20), contentTypes, typesXML(wordMain)), openXML + "wordprocessingml.document"},
		{"Excel", "a.xlsx", ooxml(openXML + "spreadsheetml.sheet" + mainPart), openXML + "spreadsheetml.sheet"},
		{"PowerPoint", "a.pptx", ooxml(openXML + "presentationml.presentation" + mainPart), openXML + "presentationml.presentation"},
		{"OpenDocument text", "a.odt", zipped("mimetype", openDoc+"text", "content.xml", "<x/>"), openDoc + "text"},
		{"OpenDocument spreadsheet", "a.ods", zipped("mimetype", openDoc+"spreadsheet"), openDoc + "spreadsheet"},
		{"OpenDocument presentation", "a.odp", zipped("mimetype", openDoc+"presentation"), openDoc + "presentation"},
	} {
		k, err := kindOf(c.data, c.file)
		if err != nil || k.mediaType != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, k.mediaType, err, c.want)
		}
	}
}

// All of these files have the name of a PDF.
func TestRefusedTypes(t *testing.T) {
	for _, c := range []struct {
		name  string
		data  []byte
		found string // the beginning of it
	}{
		{"HTML", []byte("<!DOCTYPE html><script>alert(1)</script>"), "text/html"},
		{"HTML in capitals after spaces", []byte("  \n<HTML><BODY>"), "text/html"},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), "image/svg+xml"},
		{"XML", []byte(`<?xml version="1.0"?><x/>`), "text/xml"},
		{"shell script", []byte("#!/bin/sh\nrm -rf /\n"), "text/x-shellscript"},
		{"PHP", []byte("<?php system($_GET[0]);"), "text/x-php"},
		{"JSON", []byte(`{"resourceType":"Patient"}`), "application/json"},
		{"Windows program", []byte("MZ\x90\x00\x03\x00\x00\x00"), "application/vnd.microsoft.portable-executable"},
		{"Linux program", []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"), "application/x-"},
		{"program followed by a PDF", []byte("MZ\x90\x00 %PDF-1.7\n"), pdfBehind},
		{"HTML followed by a PDF", []byte("<html><script>alert(1)</script>%PDF-1.7\n"), pdfBehind},
		{"ZIP", zipped("a.txt", "hello"), zipType},
		{"broken ZIP", zipped("a.txt", "hello")[:20], zipType},
		{"gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"), "application/gzip"},
		{"Java archive", zipped("META-INF/MANIFEST.MF", "x"), zipType},
		{"old Word", append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 600)...), "application/x-ole-storage"},
		{"DICOM", append(make([]byte, 128), "DICM"...), "application/dicom"},
		{"MP4", []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), "video/mp4"},
		{"text that turns binary", append(bytes.Repeat([]byte("text "), 2000), 0, 1, 2), unknown},
		{"noise", []byte{1, 2, 3, 4}, unknown},
		{"Word with macros", ooxml("application/vnd.ms-word.document.macroEnabled" + mainPart), "application/vnd.ms-word.document.macroenabled"},
		{"Word with macros that the list omits", zipped(contentTypes, typesXML(wordMain), "word/vbaProject.bin", "x"), openXML + "wordprocessingml.document" + withMacros},
		{"Word with macros under another name", ooxml(wordMain, "application/vnd.ms-office.vbaProject"), openXML + "wordprocessingml.document" + withMacros},
		{"Word with controls", zipped(contentTypes, typesXML(wordMain), "word/activeX/activeX1.xml", "x"), openXML + "wordprocessingml.document" + withMacros},
		{"Excel with an old macro sheet", ooxml(openXML+"spreadsheetml.sheet"+mainPart, "application/vnd.ms-excel.macrosheet+xml"), openXML + "spreadsheetml.sheet" + withMacros},
		{"Word template", ooxml(openXML + "wordprocessingml.template" + mainPart), openXML + "wordprocessingml.template"},
		{"two things at once", ooxml(wordMain, openXML+"spreadsheetml.sheet"+mainPart), zipType},
		{"two lists of contents", zipped(contentTypes, typesXML(wordMain), "[content_types].XML", "x"), zipType},
		{"list that is no XML", zipped(contentTypes, "<Types"), zipType},
		{"list that is too large when unpacked", zipped(contentTypes, strings.Repeat(" ", 8<<20)+typesXML(wordMain)), zipType},
		{"list with an invalid media type", ooxml("<script>" + mainPart), zipType},
		{"OpenDocument with macros", zipped("mimetype", openDoc+"text", "Basic/Standard/Module1.xml", "x"), openDoc + "text" + withMacros},
		{"OpenDocument drawing", zipped("mimetype", openDoc+"graphics"), openDoc + "graphics"},
		{"EPUB", zipped("mimetype", "application/epub+zip"), zipType},
	} {
		_, err := kindOf(c.data, "report.pdf")
		var wrong *TypeError
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Found, c.found) {
			t.Errorf("%s: got %v, want it refused as %s", c.name, err, c.found)
		}
	}
}

func TestTypeErrorSaysWhatToSend(t *testing.T) {
	for found, part := range map[string]string{
		"text/html": "“a.txt” is a web page (HTML), which can’t be sent. Send a file of one of these types: ", zipType: "is a ZIP archive", "video/mp4": "is a video",
		wordMain: "is an Office file of another type", openXML + "spreadsheetml.sheet" + withMacros: "is an Office file with macros",
		"application/x-ole-storage": "an Office file in the old format", pdfBehind: "save it as PDF again", unknown: "save it as UTF-8", "x/y": "of another type",
	} {
		got := (&TypeError{Name: "a.txt", Found: found}).Error()
		for _, part := range []string{part, "PDF", "JPEG", "plain text", "Word (.docx)"} {
			if !strings.Contains(got, part) {
				t.Errorf("%q does not say %s", got, part)
			}
		}
	}
}

// Refusals use plain words, not media types.
func TestRefusalsUsePlainWords(t *testing.T) {
	mediaTypes := regexp.MustCompile(`octet|[a-z]+/[a-z]`)
	for _, data := range [][]byte{
		{1, 2, 3, 4}, []byte("<html>"), []byte("{}"), []byte("<?xml version='1.0'?><x/>"), []byte("MZ\x90\x00\x03\x00\x00\x00"),
		[]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"), []byte("#!/bin/sh\n"), zipped("a.txt", "x"),
		[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"), append(make([]byte, 128), "DICM"...), []byte("OggS\x00\x02\x00"), []byte("BM6\x00\x00\x00\x00\x00\x00\x00"),
		[]byte("<html>%PDF-1.7"), []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"), []byte("wOFF\x00\x01\x00\x00"),
	} {
		_, err := kindOf(data, "dir/x.bin")
		if err == nil || !strings.HasPrefix(err.Error(), "“x.bin” ") || mediaTypes.MatchString(err.Error()) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// Burst pictures of real phones, and all other brands of HEIF.
func TestHEIF(t *testing.T) {
	for _, name := range []string{"heic-burst-hevc.heic", "heic-burst-msf1.heic"} {
		data, err := os.ReadFile("testdata/cases/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := kindOf(data, name); err != nil || k.mediaType != "image/heic" || k.nameFor(name) != name {
			t.Errorf("%s: %s, %v", name, k.mediaType, err)
		}
	}
	// Cameras use these extensions too. The page allows them, and they are kept.
	for _, name := range []string{"burst.heics", "burst.HEIFS", "photo.hif"} {
		if k, err := kindOf([]byte("\x00\x00\x00\x18ftyphevc\x00\x00\x00\x00msf1hevc"), name); err != nil || k.nameFor(name) != name || !hasExtension(name, Extensions()) {
			t.Errorf("%s: %s, %v", name, k.mediaType, err)
		}
	}
	for _, brand := range []string{"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"} {
		if k, err := kindOf([]byte("\x00\x00\x00\x18ftyp"+brand+"\x00\x00\x00\x00mif1heic"), "a.heif"); err != nil || k.mediaType != "image/heic" {
			t.Errorf("%s: %s, %v", brand, k.mediaType, err)
		}
	}
}

// A text is accepted in every encoding that common programs write, and decodes to the
// same characters.
func TestTexts(t *testing.T) {
	const says = "Sehr geehrte Frau Müller,\r\nalles gut.\r\n"
	latin1 := []byte(strings.ReplaceAll(says, "ü", "\xfc"))
	little, big := utf16Of(binary.LittleEndian, says), utf16Of(binary.BigEndian, says)
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"UTF-8", []byte(says)}, {"UTF-8 with a mark", []byte("\uFEFF" + says)}, {"Windows-1252", latin1},
		{"UTF-16, little-endian", append([]byte("\xFF\xFE"), little...)}, {"UTF-16, big-endian", append([]byte("\xFE\xFF"), big...)},
		{"UTF-16 without a mark", little}, {"UTF-16, big-endian, without a mark", big},
		{"with an end-of-file character", []byte(says + endOfFile)}, {"with several", []byte(says + endOfFile + endOfFile)},
		{"Windows-1252 with one", append(latin1[:len(latin1):len(latin1)], 0x1A)}, {"UTF-16 with one", append(little[:len(little):len(little)], 0x1A, 0)},
		{"UTF-16 with one of a single byte", append(little[:len(little):len(little)], 0x1A)}, {"UTF-16, big-endian, with one of a single byte", append(big[:len(big):len(big)], 0x1A)},
		{"UTF-16 with a mark, with one of a single byte", append([]byte("\xFF\xFE"), append(little[:len(little):len(little)], 0x1A)...)},
	} {
		for file, want := range map[string]string{"a.txt": "text/plain", "a.csv": "text/csv"} {
			k, err := kindOf(c.data, file)
			if err != nil || k.mediaType != want || Text(c.data) != says {
				t.Errorf("%s, %s: got %s, %v; it says %q", c.name, file, k.mediaType, err, Text(c.data))
			}
		}
	}
	// A text that is refused in UTF-8 is also refused in UTF-16.
	for _, refused := range []string{"<html><script>alert(1)</script>", "<svg xmlns='http://www.w3.org/2000/svg'/>", "#!/bin/sh\nls", "text\x00and\x01more", "a" + endOfFile + "b", "%PDF-1.7"} {
		if k, err := kindOf(append([]byte("\xFF\xFE"), utf16Of(binary.LittleEndian, refused)...), "a.txt"); err == nil {
			t.Errorf("%q in UTF-16 is accepted as %s", refused, k.mediaType)
		}
	}
	if _, err := kindOf([]byte("\xFF\xFEa\x00\x00\xD8b\x00"), "a.txt"); err == nil {
		t.Error("half a surrogate pair of UTF-16 is accepted")
	}
}

// A PDF may have only blanks before it, up to the distance that readers search.
func TestPDFAfterBlanks(t *testing.T) {
	for _, before := range []string{"", "\n", " ", "\r\n\t \f\x00", "\xEF\xBB\xBF", "\xEF\xBB\xBF\r\n", strings.Repeat(" ", 1024)} {
		if k, err := kindOf([]byte(before+"%PDF-1.7\n\x00\x01"), "a.pdf"); err != nil || k.mediaType != "application/pdf" {
			t.Errorf("after %q: %s, %v", before, k.mediaType, err)
		}
	}
	for _, before := range []string{strings.Repeat(" ", 1025), "<html>", "MZ", "x", "#!/bin/sh\n", "\x1b%-12345X@PJL\r\n", "\xEF\xBB\xBF<script>", "\x00<html>"} {
		if k, err := kindOf([]byte(before+"%PDF-1.7\n\x00\x01"), "a.pdf"); err == nil {
			t.Errorf("after %q it is accepted as %s", before, k.mediaType)
		}
	}
}

func utf16Of(order binary.AppendByteOrder, text string) (b []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

func FuzzKindOf(f *testing.F) {
	f.Add(ooxml(wordMain), "a.docx")
	f.Add(zipped("mimetype", openDoc+"text"), "a.odt")
	f.Add([]byte("%PDF-1.7\n"), "a.pdf")
	f.Add([]byte("date,value\n1,2\n"), "a.csv")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		k, err := kindOf(data, name)
		if wrong := (*TypeError)(nil); errors.As(err, &wrong) {
			if len(wrong.Found) > 120 {
				t.Errorf("a type of %d bytes was found", len(wrong.Found))
			}
		} else if err != nil || k.mediaType == "" || !hasExtension(k.nameFor(name), k.extensions) {
			t.Errorf("got %v, %v", k, err)
		}
	})
}

// ooxml makes an Office Open XML file whose list has parts of these types.
func ooxml(types ...string) []byte {
	return zipped(contentTypes, typesXML(types...), "_rels/.rels", "<x/>", "word/document.xml", "<x/>")
}

func typesXML(types ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="xml" ContentType="application/xml"/>`)
	for _, t := range types {
		b.WriteString(`<Override PartName="/x" ContentType="` + strings.ReplaceAll(t, "<", "&lt;") + `"/>`)
	}
	return b.String() + "</Types>"
}

// zipped makes a ZIP file from pairs of name and content.
func zipped(parts ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		f, err := w.Create(parts[i])
		if err == nil {
			_, err = f.Write([]byte(parts[i+1]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func encoded(encode func(*bytes.Buffer, image.Image) error) []byte {
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		panic(err)
	}
	return b.Bytes()
}
