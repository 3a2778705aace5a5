package inbound

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A media type is compared without regard to case and parameters (RFC 9110, 8.3.1).
func TestMediaTypesOfBodies(t *testing.T) {
	files := Body{Types: []string{Multipart}}
	for _, c := range []struct {
		takes Body
		lines []string
		seen  string // by the handler, "" where it is refused
	}{
		{Body{Types: []string{JSON}}, []string{"application/json"}, "application/json"},
		{Body{Types: []string{JSON}}, []string{"APPLICATION/JSON"}, "application/json"},
		{Body{Types: []string{JSON}}, []string{"Application/Json ; Charset=UTF-8"}, "application/json"},
		{Body{Types: []string{JSON}}, []string{`application/json; profile="a+b;c"`}, "application/json"},
		{Body{Types: []string{JSON}}, []string{"application/json; charset"}, "application/json"},
		{Body{Types: []string{JSON}}, []string{"application/json;"}, "application/json"},
		{Body{Types: []string{JSON}}, []string{"application/PROBLEM+json"}, "application/problem+json"},
		{Body{Types: []string{JSON}}, []string{"text/json"}, ""},
		{Body{Types: []string{JSON}}, []string{"application/jsonp"}, ""},
		{Body{Types: []string{JSON}}, []string{"application/x-www-form-urlencoded"}, ""},
		{Body{Types: []string{JSON}}, []string{"multipart/form-data; boundary=x"}, ""},
		{Body{Types: []string{JSON}}, []string{"application/json", "text/plain"}, ""},
		{Body{Types: []string{JSON}}, []string{"json"}, ""},
		{Body{Types: []string{JSON}}, nil, "none"},
		{Body{Types: []string{Form}}, []string{"Application/X-WWW-Form-URLencoded; charset=utf-8"}, "application/x-www-form-urlencoded"},
		{Body{Types: []string{Form}}, []string{"multipart/form-data; boundary=x"}, ""},
		{Body{Types: []string{Form}}, []string{"text/plain"}, ""},
		{Body{Types: []string{Form}}, nil, ""},
		{files, []string{"multipart/form-data; boundary=x"}, "multipart/form-data; boundary=x"},
		{files, []string{`MULTIPART/FORM-DATA; charset=utf-8; Boundary="x:Y"`}, `multipart/form-data; boundary="x:Y"`},
		{files, []string{"multipart/mixed; boundary=x"}, ""},
		{files, nil, ""},
		{Body{}, []string{"text/plain"}, "text/plain"},
		{Body{}, []string{"Multipart/Form-Data; boundary=x"}, ""},
		{Body{}, nil, "none"},
	} {
		seen := ""
		h := NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := Open(r, c.takes, true); err == nil {
				if seen = r.Header.Get("Content-Type"); seen == "" {
					seen = "none"
				}
			} else if !errors.Is(err, ErrMediaType) {
				t.Error(err)
			}
		}), nil, discard).Handler
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header["Content-Type"] = c.lines
		h.ServeHTTP(httptest.NewRecorder(), r)
		if seen != c.seen {
			t.Errorf("%q is seen as %q, want %q", c.lines, seen, c.seen)
		}
	}
}

func TestPrefers(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/html,*/*;q=0.8": true,
		"TEXT/HTML":           true,
		"Text/Html;level=1;Q=0.5, application/json;q=1": true,
		"text/*": true,
		"":       false,
		"*/*":    false,
		"application/problem+json, text/html;q=0.9": false,
		"text/html;q=0, */*":                        false,
		"application/json":                          false,
		"text/html-not":                             false,
		"application/*;q=0.9, text/html":            true,
	} {
		if got := Prefers(http.Header{"Accept": {accept}}, "text/html", "application/problem+json"); got != want {
			t.Errorf("%q prefers a page: %v, want %v", accept, got, want)
		}
	}
	if !Prefers(http.Header{"Accept": {"application/json;q=0.1", "text/html"}}, "text/html", "application/json") {
		t.Error("the second line is not read")
	}
}
