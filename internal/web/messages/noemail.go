package messages

import (
	"net/http"
	"strconv"

	"postern/internal/messages"
	"postern/internal/web/page"
)

// noEmailAt is the worklist's address.
const noEmailAt = "/worklists/no-email"

// unreachable is the data of the worklist.
type unreachable struct {
	Rows        []messages.NoEmail
	First, Next string // addresses
}

// noEmail lists the portal users without a working e-mail address.
func (p *Pages) noEmail(w http.ResponseWriter, r *http.Request) error {
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 32)
	found, err := p.Messages.WithoutEmail(r.Context(), int32(after), perPage+1) // #nosec G115 -- parsed as such
	if err != nil {
		return err
	}
	l := unreachable{Rows: found}
	if len(found) > perPage {
		l.Rows = found[:perPage]
		l.Next = noEmailAt + "?after=" + strconv.Itoa(int(found[perPage-1].PortalUserNo))
	}
	if after != 0 {
		l.First = noEmailAt
	}
	return p.Render(w, r, set, page.View{Template: "noemail.html", Title: "No working e-mail", Section: section, Data: l})
}
