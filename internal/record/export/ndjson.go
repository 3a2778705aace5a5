package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"postern/internal/record/query"
)

// lines writes the stored events, one a line:
//
//	{"seq":7,"subject":"record.…","headers":{…},"body":{…},"leaf":"9f86d0…"}
//
// The body is copied byte by byte, so that the leaf can be computed from the line. If a body
// is not JSON on one line, which does not happen for our events, body_base64 has it instead.
type lines struct {
	out *bufio.Writer
	n   int
}

func (l *lines) rows() int { return l.n }

func (l *lines) add(_ context.Context, e *query.FullEvent) error {
	l.n++
	headers, err := json.Marshal(e.Headers) // in the order of their names
	if err != nil {
		return err
	}
	_, _ = l.out.WriteString(`{"seq":` + strconv.FormatUint(e.Seq, 10) + `,"subject":`)
	subject, err := json.Marshal(e.Subject)
	if err != nil {
		return err
	}
	_, _ = l.out.Write(subject)
	_, _ = l.out.WriteString(`,"headers":`)
	_, _ = l.out.Write(headers)
	if json.Valid(e.Body) && !bytes.ContainsAny(e.Body, "\r\n") {
		_, _ = l.out.WriteString(`,"body":`)
		_, _ = l.out.Write(e.Body)
	} else {
		_, _ = l.out.WriteString(`,"body_base64":"` + base64.StdEncoding.EncodeToString(e.Body) + `"`)
	}
	_, err = l.out.WriteString(`,"leaf":"` + hex.EncodeToString(e.Leaf) + "\"}\n")
	return err
}
