package portal

import (
	"errors"
	"net/http"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/problem"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// trouble is a page that says why a message is not shown.
type trouble struct {
	Heading, Text string
	Again         string // the address to try again, "" if that can't help
}

// troubles are the pages by the type of the API's problem. A message of another portal
// user, one that never existed and one whose link has ended get the same page.
var troubles = map[string]trouble{
	problem.MessageRecalled.Type(): {Heading: language.Mark("This message was taken back"),
		Text: language.Mark("The clinic took it back. You can no longer read it. If you have a question, call the clinic.")},
	problem.MessageErased.Type(): {Heading: language.Mark("This message was erased"),
		Text: language.Mark("The clinic erased it. You can no longer read it. If you have a question, call the clinic.")},
	problem.ContentMissing.Type(): {Heading: language.Mark("We can’t show this message"),
		Text: language.Mark("Something went wrong on our side. The message was not erased. Call the clinic and say that the content of this message is missing.")},
	problem.NotFound.Type(): {Heading: language.Mark("We can’t find this message"),
		Text: language.Mark("Look in your messages. If it is not there, call the clinic.")},
	problem.NamesOthers.Type(): {Heading: language.Mark("Ask the clinic for this certificate"),
		Text: language.Mark("It would name other people, so we can’t show it here. Call the clinic.")},
	problem.NotReady.Type(): {Heading: language.Mark("The certificate is not ready yet"), Again: "here",
		Text: language.Mark("It takes a few seconds. Wait a minute, then try again.")},
	problem.RecordUnavailable.Type(): {Heading: language.Mark("We can’t open this right now"), Again: "here",
		Text: language.Mark("Nothing is lost. Wait a minute, then try again.")},
}

// errHead refuses HEAD: getting a message records it as opened, and a HEAD request must
// not.
var errHead = page.Failure(http.StatusMethodNotAllowed, "That can’t be done here", "This address takes GET.")

// errPrefetch refuses a request that the browser sends before its reader opens the
// page: it must not record the message as opened. The browser sends another request
// when the reader opens the page.
var errPrefetch = page.Failure(http.StatusServiceUnavailable, "Not ahead of time", "")

// withTrouble renders the errors that have a page in troubles.
func (p *Pages) withTrouble(next page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return errHead
		}
		if strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch") {
			return errPrefetch
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
