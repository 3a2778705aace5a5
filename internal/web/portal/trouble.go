package portal

import (
	"errors"
	"net/http"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/problem"
	"postern/internal/web/page"
)

// trouble is why a message is not shown, in words for its reader.
type trouble struct {
	Heading, Text string
	Again         string // the address to try again, "" where that is no use
}

// troubles are by the type of a problem of the API's. What is somebody else's, what
// never was and what an ended link led to are told alike.
var troubles = map[string]trouble{
	problem.MessageRecalled.Type(): {Heading: "This message was taken back",
		Text: "The clinic took it back. You can no longer read it. If you have a question, call the clinic."},
	problem.MessageErased.Type(): {Heading: "This message was erased",
		Text: "The clinic erased it. You can no longer read it. If you have a question, call the clinic."},
	problem.ContentMissing.Type(): {Heading: "We can’t show this message",
		Text: "Something went wrong on our side. The message was not erased. Call the clinic and say that the content of this message is missing."},
	problem.NotFound.Type(): {Heading: "We can’t find this message",
		Text: "Look in your messages. If it is not there, call the clinic."},
	problem.RecordUnavailable.Type(): {Heading: "We can’t open this right now", Again: "here",
		Text: "Nothing is lost. Wait a minute, then try again."},
}

// errHead refuses HEAD: whoever gets a message opens it, on the record, which asking
// about it must not do.
var errHead = page.Failure(http.StatusMethodNotAllowed, "That can’t be done here", "This address takes GET.")

// errAhead refuses what a browser asks for on its own account, before its reader does:
// what nobody looks at must not be on the record as opened. It asks again when its
// reader does.
var errAhead = page.Failure(http.StatusServiceUnavailable, "Not ahead of time", "")

// said has a handler's errors said in words for portal users, where there are some.
func (p *Pages) said(next page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return errHead
		}
		if strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch") {
			return errAhead
		}
		err := next(w, r)
		if err == nil || errors.Is(err, policy.ErrUnauthenticated) {
			return err
		}
		found := p.Problem(r, err)
		t, known := troubles[found.Type]
		if !known {
			return found
		}
		if t.Again != "" {
			t.Again = r.URL.RequestURI()
			w.Header().Set("Retry-After", "60")
		}
		return p.Render(w, r, set, page.View{Template: "trouble.html", Title: t.Heading, Section: "messages", Status: found.Status, Data: t})
	}
}
