package attachment

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

const (
	zipType      = "application/zip"
	withMacros   = " with macros"
	contentTypes = "[Content_Types].xml"
	mainPart     = ".main+xml"

	// maxPart is the maximum unpacked size of a part in bytes. The parts read here are small.
	maxPart = 1 << 20
)

// sniffOffice returns the media type of an Office Open XML or OpenDocument file, which is
// a ZIP file, from its own list of contents. It marks files with macros. Any other ZIP
// file is application/zip.
func sniffOffice(data []byte) string {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return zipType
	}
	parts := map[string]*zip.File{}
	macros := false
	for _, f := range archive.File {
		name := strings.ToLower(f.Name)
		if parts[name] != nil {
			return zipType // programs differ in which of the two parts they read
		}
		parts[name] = f
		macros = macros || isMacro(name)
	}
	var found string
	if f := parts[strings.ToLower(contentTypes)]; f != nil {
		found, macros = officeOpenXML(f, macros)
	} else if f := parts["mimetype"]; f != nil {
		found = openDocument(f)
	}
	switch {
	case !isMediaType(found):
		return zipType
	case macros:
		return found + withMacros
	}
	return found
}

// isMacro reports whether a part with this name (in lower case) holds macros or active
// controls.
func isMacro(part string) bool {
	return strings.HasSuffix(part, "vbaproject.bin") || strings.Contains(part, "/activex/") ||
		strings.Contains(part, "/macrosheets/") ||
		strings.HasPrefix(part, "basic/") || strings.HasPrefix(part, "scripts/")
}

// officeOpenXML returns the type of the main part, and whether there are macros. All main
// parts must have the same type. ECMA-376 part 2, 7.2.3.
func officeOpenXML(list *zip.File, macros bool) (mediaType string, hasMacros bool) {
	type part struct {
		ContentType string `xml:"ContentType,attr"`
	}
	var types struct {
		Defaults  []part `xml:"Default"`
		Overrides []part `xml:"Override"`
	}
	text, err := readPart(list)
	if err != nil || xml.Unmarshal(text, &types) != nil {
		return "", macros
	}
	for _, p := range append(types.Defaults, types.Overrides...) {
		kind := strings.ToLower(p.ContentType)
		if strings.Contains(kind, "vbaproject") || strings.Contains(kind, "activex") || strings.Contains(kind, "macrosheet") {
			macros = true
		}
		if name, isMain := strings.CutSuffix(kind, mainPart); isMain {
			if mediaType != "" && mediaType != name {
				return "", macros
			}
			mediaType = name
		}
	}
	return mediaType, macros
}

// openDocument returns the media type that the file declares. OpenDocument 1.3 part 2, 3.3.
func openDocument(f *zip.File) string {
	text, err := readPart(f)
	name := strings.TrimSpace(string(text))
	if err != nil || !strings.HasPrefix(name, "application/vnd.oasis.opendocument.") {
		return ""
	}
	return name
}

// isMediaType reports whether the type that a file declares has the form of a media type.
// It is shown to the sender.
func isMediaType(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("./+-", r)
	})
}

func readPart(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxPart+1))
	if len(text) > maxPart {
		err = errors.New("the part is too long")
	}
	return text, errors.Join(err, r.Close())
}
