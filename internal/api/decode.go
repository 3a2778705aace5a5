package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"postern/internal/problem"
	"postern/internal/problem/document"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// strictJSON accepts only JSON with one meaning: valid UTF-8 (RFC 8259 section 8.1), no
// duplicate names, no half of a surrogate pair, one value. encoding/json alone replaces
// invalid text with U+FFFD, and a message would be sent with it. NUL is refused too,
// because Postgres can't store it in text.
var strictJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		if err := checkJSON(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	},
}

// holdsNUL is the error for text with NUL, which can be decoded but not stored.
const holdsNUL = "holds a NUL character"

// checkJSON returns an error that begins with the location, such as "body.subject: ".
func checkJSON(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) && d.StackDepth() == 0 {
			return nil
		}
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			return fmt.Errorf("%s: is not valid JSON in UTF-8: %w at byte %d", locate(syntax.JSONPointer), syntax.Err, syntax.ByteOffset)
		}
		if err != nil {
			return errors.New("body: is not valid JSON: it ends too early")
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return fmt.Errorf("%s: %s", locate(d.StackPointer()), holdsNUL)
		}
	}
}

// locate turns "/recipients/groups/0" into "body.recipients.groups[0]".
func locate(p jsontext.Pointer) string {
	var b strings.Builder
	b.WriteString("body")
	for token := range p.Tokens() {
		if token != "" && strings.Trim(token, "0123456789") == "" {
			b.WriteString("[" + token + "]")
		} else {
			b.WriteString("." + strings.ToValidUTF8(token, "\ufffd"))
		}
	}
	return b.String()
}

// checkURL refuses a path or a query that is not text.
func checkURL(u *url.URL) *problem.Error {
	if !isText(u.Path) {
		return problem.BadRequest.Problem("the path is not text in UTF-8", problem.Fault{Location: "path", Message: "is not text in UTF-8"})
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return problem.BadRequest.Problem("the query can't be read", problem.Fault{Location: "query", Message: "can't be read"})
	}
	for name, values := range query {
		if !isText(name) || !isText(strings.Join(values, "")) {
			f := problem.Fault{Location: "query." + strings.ToValidUTF8(name, "\ufffd"), Message: "is not text in UTF-8"}
			return problem.BadRequest.Problem(f.Location+" "+f.Message, f)
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// textOnly refuses requests whose URL is not text.
func textOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := checkURL(r.URL); p != nil {
			document.Write(w, document.From(p))
			return
		}
		next.ServeHTTP(w, r)
	})
}
