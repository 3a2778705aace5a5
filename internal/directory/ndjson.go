package directory

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/internal/text/number"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// longestResource is how many bytes one line may have. Some carry a photograph.
	longestResource = 16 << 20
	// longestDocument is how many a file may have that is one JSON value over many lines.
	longestDocument = 64 << 20
)

// fhirDecoder makes rows of FHIR resources.
type fhirDecoder struct {
	today       int32
	emailDomain string // "" takes addresses from the resources
	into        sink

	read  int // how many resources, and deletions of resources, were read
	empty int // how many files that are called Patient and so on hold nothing: an export without news
}

// fhirFile is the file at hand.
type fhirFile struct {
	*fhirDecoder
	name    string
	deleted bool               // it is in the folder of what was deleted
	unused  map[string]*unused // by resource type
}

// unused is what a file holds of a type that Postern does not use.
type unused struct {
	first place
	count int
}

// decode reads one file, whatever its name: NDJSON, a resource a line, or one JSON
// document, either of them as it is or in gzip. It warns of what it does not read.
func (d *fhirDecoder) decode(file int, name string, content io.Reader) error {
	f := fhirFile{fhirDecoder: d, name: name, deleted: isDeletedFolder(path.Dir(name)), unused: map[string]*unused{}}
	lines := bufio.NewReaderSize(content, 64<<10)
	if magic, _ := lines.Peek(2); string(magic) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(lines)
		if err != nil && !damaged(err) {
			return err
		}
		if err != nil {
			f.broken(place{file: file, line: 1})
			return nil
		}
		lines = bufio.NewReaderSize(unpacked, 64<<10)
	}
	err := f.lines(file, lines)
	for _, resourceType := range sortedKeys(f.unused) {
		of := f.unused[resourceType]
		what := resourceType
		if what == "" {
			what = "lines without a resourceType"
		}
		d.into.warn(fault{place: of.first, reason: fmt.Sprintf("holds %s, which Postern does not use: %s not read", what, number.Of(of.count, "was", "were"))})
	}
	return err
}

func sortedKeys(m map[string]*unused) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// broken notes that a packed file is damaged: what it held is not known.
func (f *fhirFile) broken(at place) {
	f.into.fault(fault{place: at, reason: "the file is damaged (gzip): download it again", cut: true})
}

// damaged says whether an error of reading is that of a packed file that is not whole.
func damaged(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF || errors.As(err, &corrupt)
}

// lines reads NDJSON, and finds out from the first line with anything in it whether
// that is what the file is.
func (f *fhirFile) lines(file int, lines *bufio.Reader) error {
	begun := false
	for at := (place{file: file, line: 1}); ; at.line++ {
		line, err := readLine(lines)
		switch {
		case err == io.EOF:
			if !begun && contractName(f.name) {
				f.empty++
			}
			return nil
		case damaged(err):
			f.broken(at)
			return nil
		case errors.Is(err, errLineTooLong):
			if known, ours := typeOf(line); known != "" && !ours {
				f.leave(known, at)
			} else {
				f.into.fault(fault{place: at, reason: "is longer than 16 MiB"})
			}
			begun = true
			continue
		case err != nil:
			return err
		}
		line = bytes.TrimPrefix(line, []byte("\uFEFF")) // also where files were joined to one
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if !begun {
			line = bytes.Clone(line) // to begin may be to read further
			if lines, err = f.begin(at, line, lines); lines == nil || err != nil {
				return err
			}
		}
		begun = true
		if err := f.value(at, line, false); err != nil {
			return err
		}
	}
}

// begin looks at the first line of a file. It gives the lines that follow, or nil
// where there are none to read as NDJSON.
func (f *fhirFile) begin(at place, line []byte, rest *bufio.Reader) (*bufio.Reader, error) {
	switch {
	case bytes.HasPrefix(line, []byte("\xff\xfe")), bytes.HasPrefix(line, []byte("\xfe\xff")):
		if kind := extension(f.name); kind == ".ndjson" || kind == ".json" {
			f.into.fault(fault{place: at, reason: "is UTF-16: save the file as UTF-8", cut: true})
			return nil, nil
		}
		fallthrough
	case !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) && !contractName(f.name):
		f.into.warn(fault{place: at, reason: "is not NDJSON: the file was not read"})
		return nil, nil
	case jsontext.Value(line).IsValid(halfCharacters):
		return rest, nil
	}
	if known, ours := typeOf(line); known != "" && !ours {
		return rest, nil
	}
	// Perhaps the file is one document over many lines; if not, its lines are.
	whole := append(bytes.Repeat([]byte("\n"), at.line-1), line...)
	whole = append(whole, '\n')
	first := len(whole)
	more, err := io.ReadAll(io.LimitReader(rest, longestDocument))
	switch {
	case err != nil && damaged(err):
		f.broken(at)
		return nil, nil
	case err != nil:
		return nil, err
	}
	whole = append(whole, more...)
	if !jsontext.Value(whole).IsValid(halfCharacters) {
		return bufio.NewReaderSize(io.MultiReader(bytes.NewReader(whole[first:]), rest), 64<<10), nil
	}
	return nil, f.value(at, whole, true)
}

// leave counts what a file holds of a type that is not used.
func (f *fhirFile) leave(resourceType string, at place) {
	of := f.unused[resourceType]
	if of == nil {
		of = &unused{first: at}
		f.unused[resourceType] = of
	}
	of.count++
}

// halfCharacters reads \ud83d alone, as a system writes that cuts a text in the middle
// of a character, as U+FFFD.
var halfCharacters = jsontext.AllowInvalidUTF8(true)

// typeOf gives a resource's type, and whether it is one that is read. What breaks off
// before its type has none.
func typeOf(data []byte) (resourceType string, ours bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(data), halfCharacters)
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return "", false
	}
	for {
		name, err := dec.ReadToken()
		if err != nil || name.Kind() != '"' {
			return "", false
		}
		if name.String() != "resourceType" {
			if dec.SkipValue() != nil {
				return "", false
			}
			continue
		}
		value, err := dec.ReadToken()
		if err != nil || value.Kind() != '"' {
			return "", false
		}
		resourceType = value.String()
		return resourceType, slices.Contains([]string{"Patient", "RelatedPerson", "EpisodeOfCare", "Bundle"}, resourceType)
	}
}

// value reads what one line holds, or a whole file, of many lines.
func (f *fhirFile) value(at place, data []byte, whole bool) error {
	resourceType, ours := typeOf(data)
	if resourceType != "" && !ours {
		f.leave(resourceType, at)
		return nil
	}
	if !utf8.Valid(data) {
		f.into.fault(fault{place: at, reason: "is not UTF-8: save the file as UTF-8"})
		return nil
	}
	if resourceType == "Bundle" {
		return f.bundle(at, data, whole)
	}
	if resourceType == "" {
		var any map[string]jsontext.Value
		if err := json.Unmarshal(data, &any, halfCharacters); err != nil || any == nil {
			f.into.fault(jsonFault(at, err))
			return nil
		}
		if _, wrong := any["resourceType"]; wrong {
			f.into.fault(fault{place: at, field: "resourceType", reason: "is not a text"})
			return nil
		}
		f.leave("", at)
		return nil
	}
	return f.resource(at, resourceType, data, fhirEntry{}, nil)
}

var errLineTooLong = errors.New("a line is too long")

// readLine returns the next line without its end, valid until the next call, and
// io.EOF after the last. Of a line that is too long it returns the beginning.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil || err == io.EOF && len(line) > 0 {
		return bytes.TrimRight(line, "\r\n"), nil
	}
	if err != bufio.ErrBufferFull {
		return nil, err
	}
	whole := bytes.Clone(line)
	for err == bufio.ErrBufferFull {
		line, err = r.ReadSlice('\n')
		if len(whole) <= longestResource {
			whole = append(whole, line...)
		}
	}
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case len(whole) > longestResource:
		return whole, errLineTooLong
	}
	return bytes.TrimRight(whole, "\r\n"), nil
}

// jsonFault says what is wrong with a value, without quoting it.
func jsonFault(at place, err error) fault {
	f := fault{place: at}
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		f.reason = "is not what FHIR has here: a JSON null"
	case errors.As(err, &semantic):
		f.field = strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		f.reason = fmt.Sprintf("is not what FHIR has here: a JSON %s", semantic.JSONKind)
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		f.reason = fmt.Sprintf("has the same member twice: the second is at byte %d", syntax.ByteOffset+1)
	case errors.As(err, &syntax):
		f.reason = fmt.Sprintf("is not a JSON object: it breaks off or is wrong at byte %d", syntax.ByteOffset+1)
	default:
		f.reason = "is not a JSON object"
	}
	return f
}
