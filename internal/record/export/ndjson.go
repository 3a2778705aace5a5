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

// lines writes the events as they are stored, one a line:
//
//	{"seq":7,"subject":"record.…","headers":{…},"body":{…},"leaf":"9f86d0…"}
//
// The body stands there to the byte, so that its leaf can be worked out again from the
// line. Where it is not JSON in one line, which no event of ours is, body_base64 holds
// it instead.
type lines struct {
	out *bufio.Writer
	n   int
}

func (l *lines) rows() int { return l.n }

func (l *lines) add(_ context.Context, e *query.Whole) error {
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
