// Package fhir decodes the files of a FHIR R4 bulk export: Patient, RelatedPerson and
// EpisodeOfCare as NDJSON, JSON documents and Bundles, plain or gzipped. It keeps only the
// resource that it reads in memory.
//
// A value that decides which portal users may be written to is a fault if it can't be
// read. Other defects are warnings.
package fhir

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

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postern/internal/directory/source"
	"postern/internal/text/number"
)

const (
	// longestResource is the maximum size of one line in bytes. Some hold a photograph.
	longestResource = 16 << 20
	// longestDocument is the maximum size in bytes of a file with one JSON value over many lines.
	longestDocument = 64 << 20
)

// Decoder makes rows from FHIR resources. It reads one file at a time.
type Decoder struct {
	Today       int32  // the day on which names and addresses must be in use, as field.Day returns it
	EmailDomain string // gives each account the address <id>@<domain>; "" takes the addresses from the resources
	Into        source.Sink

	read  int // the number of resources and deletions of resources that were read
	empty int // the number of empty files named Patient and so on: an export without changes
}

// Found reports whether the files hold a resource, the deletion of one, or nothing because
// an export has no changes.
func (d *Decoder) Found() bool { return d.read > 0 || d.empty > 0 }

// oneFile is the current file.
type oneFile struct {
	*Decoder
	name    string
	deleted bool               // it is in the folder of deletions
	unused  map[string]*unused // by resource type
}

// unused counts the resources in a file of a type that Postern does not use.
type unused struct {
	first source.Place
	count int
}

// Decode reads one file, whatever its name: NDJSON with one resource a line, or one JSON
// document, either of them plain or gzipped. file is the number of the file in its places.
// It warns of resources that it does not read. It returns an error of the content's reader
// or of the sink; a file that is wrong is a fault.
func (d *Decoder) Decode(file int, name string, content io.Reader) error {
	f := oneFile{Decoder: d, name: name, deleted: IsDeletedFolder(path.Dir(name)), unused: map[string]*unused{}}
	lines := bufio.NewReaderSize(content, 64<<10)
	if magic, _ := lines.Peek(2); string(magic) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(lines)
		if err != nil && !damaged(err) {
			return err
		}
		if err != nil {
			f.broken(source.Place{File: file, Line: 1})
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
		d.Into.Warn(source.Fault{Place: of.first, Reason: fmt.Sprintf("holds %s, which Postern does not use: %s not read", what, number.Of(of.count, "was", "were"))})
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

// broken reports that a gzip file is damaged and its content unknown.
func (f *oneFile) broken(at source.Place) {
	f.Into.Fault(source.Fault{Place: at, Reason: "the file is damaged (gzip): download it again", Cut: true})
}

// damaged reports whether a read error comes from a damaged or incomplete gzip file.
func damaged(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF || errors.As(err, &corrupt)
}

// lines reads NDJSON. The first line that is not blank shows whether the file is NDJSON.
func (f *oneFile) lines(file int, lines *bufio.Reader) error {
	begun := false
	for at := (source.Place{File: file, Line: 1}); ; at.Line++ {
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
			if known, supported := typeOf(line); known != "" && !supported {
				f.leave(known, at)
			} else {
				f.Into.Fault(source.Fault{Place: at, Reason: "is longer than 16 MiB"})
			}
			begun = true
			continue
		case err != nil:
			return err
		}
		line = bytes.TrimPrefix(line, []byte("\uFEFF")) // also in the middle, if files were concatenated
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if !begun {
			line = bytes.Clone(line) // begin may read more, which overwrites the buffer
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

// begin looks at the first line of a file. It returns a reader of the following lines, or
// nil if there are none to read as NDJSON.
func (f *oneFile) begin(at source.Place, line []byte, rest *bufio.Reader) (*bufio.Reader, error) {
	switch {
	case bytes.HasPrefix(line, []byte("\xff\xfe")), bytes.HasPrefix(line, []byte("\xfe\xff")):
		if kind := extension(f.name); kind == ".ndjson" || kind == ".json" {
			f.Into.Fault(source.Fault{Place: at, Reason: "is UTF-16: save the file as UTF-8", Cut: true})
			return nil, nil
		}
		fallthrough
	case !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) && !contractName(f.name):
		f.Into.Warn(source.Fault{Place: at, Reason: "is not NDJSON: the file was not read"})
		return nil, nil
	case jsontext.Value(line).IsValid(allowInvalidUTF8):
		return rest, nil
	}
	if known, supported := typeOf(line); known != "" && !supported {
		return rest, nil
	}
	// Perhaps the file is one document over many lines. If not, it is read line by line.
	whole := append(bytes.Repeat([]byte("\n"), at.Line-1), line...)
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
	if !jsontext.Value(whole).IsValid(allowInvalidUTF8) {
		return bufio.NewReaderSize(io.MultiReader(bytes.NewReader(whole[first:]), rest), 64<<10), nil
	}
	return nil, f.value(at, whole, true)
}

// leave counts a resource of a type that Postern does not use.
func (f *oneFile) leave(resourceType string, at source.Place) {
	of := f.unused[resourceType]
	if of == nil {
		of = &unused{first: at}
		f.unused[resourceType] = of
	}
	of.count++
}

// allowInvalidUTF8 reads a lone surrogate such as \ud83d as U+FFFD. A system writes one if
// it cuts a text in the middle of a character.
var allowInvalidUTF8 = jsontext.AllowInvalidUTF8(true)

// typeOf returns a resource's type, and whether Postern reads that type. A resource that
// breaks off before its type has none.
func typeOf(data []byte) (resourceType string, supported bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(data), allowInvalidUTF8)
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

// value reads the JSON value of one line, or of a whole file of many lines.
func (f *oneFile) value(at source.Place, data []byte, whole bool) error {
	resourceType, supported := typeOf(data)
	if resourceType != "" && !supported {
		f.leave(resourceType, at)
		return nil
	}
	if !utf8.Valid(data) {
		f.Into.Fault(source.Fault{Place: at, Reason: "is not UTF-8: save the file as UTF-8"})
		return nil
	}
	if resourceType == "Bundle" {
		return f.bundle(at, data, whole)
	}
	if resourceType == "" {
		var any map[string]jsontext.Value
		if err := json.Unmarshal(data, &any, allowInvalidUTF8); err != nil || any == nil {
			f.Into.Fault(jsonFault(at, err))
			return nil
		}
		if _, wrong := any["resourceType"]; wrong {
			f.Into.Fault(source.Fault{Place: at, Field: "resourceType", Reason: "is not a text"})
			return nil
		}
		f.leave("", at)
		return nil
	}
	return f.resource(at, resourceType, data, bundleEntry{}, nil)
}

var errLineTooLong = errors.New("a line is too long")

// readLine returns the next line without its line break, and io.EOF after the last line.
// The result is valid until the next call. If a line is too long, it returns its beginning
// with errLineTooLong.
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

// jsonFault describes what is wrong with a value, without quoting it.
func jsonFault(at source.Place, err error) source.Fault {
	f := source.Fault{Place: at}
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		f.Reason = "is a JSON null, which FHIR does not allow here"
	case errors.As(err, &semantic):
		f.Field = strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		f.Reason = fmt.Sprintf("is a JSON %s, which FHIR does not allow here", semantic.JSONKind)
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		f.Reason = fmt.Sprintf("has the same member twice: the second is at byte %d", syntax.ByteOffset+1)
	case errors.As(err, &syntax):
		f.Reason = fmt.Sprintf("is not a JSON object: it breaks off or is wrong at byte %d", syntax.ByteOffset+1)
	default:
		f.Reason = "is not a JSON object"
	}
	return f
}
