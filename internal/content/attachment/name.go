package attachment

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName      = 255 // bytes: the limit of file systems
	maxExtension = 16  // bytes, with the dot: a longer one does not count as an extension
	noName       = "document"
)

// CleanName returns a file name that is safe to show and to save on every system: the
// last element of a path, valid UTF-8, at most 255 bytes, without control characters,
// without characters that change the writing direction (with U+202E in it,
// "annexfdp.exe" is shown as annexexe.pdf), without characters that Windows forbids, and
// without a dot or space at either end. Long names keep their extension. If nothing is
// left, the name is "document". A clean name stays unchanged.
func CleanName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	if len(name) >= 2 && name[1] == ':' && unicode.IsLetter(rune(name[0])) {
		name = name[2:] // C:report.pdf
	}
	name = strings.Map(cleanRune, name)
	name = strings.Join(strings.Fields(name), " ")
	name = strings.Trim(name, ". ")
	if name == "" || strings.Trim(name, joiners) == "" {
		return noName
	}
	if isReserved(name) {
		name = "_" + name
	}
	return shorten(name)
}

// joiners are invisible, but Persian, the languages of India and emoji need them.
const joiners = "\u200c\u200d"

// cleanRune returns the replacement of a character in a clean name; -1 removes it.
func cleanRune(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case strings.ContainsRune(joiners, r):
		return r
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
		return -1
	case strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	}
	return r
}

// isReserved reports whether Windows treats the name as a device, which it does with any
// extension.
// https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
func isReserved(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, isPort := strings.CutPrefix(base, "COM")
	if !isPort {
		port, isPort = strings.CutPrefix(base, "LPT")
	}
	return isPort && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// shorten cuts a name to maxName bytes at a character boundary, and keeps its extension.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	extension := path.Ext(name)
	if len(extension) > maxExtension || len(extension) == 1 {
		extension = ""
	}
	end := maxName - len(extension)
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.TrimRight(name[:end], ". ") + extension
}
