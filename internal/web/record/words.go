package record

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/compose"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// choice is a value of a filter, or an address, with its text.
type choice struct{ Value, Text string }

// said returns choices in the language of the reader.
func said(r *http.Request, all []choice) []choice {
	told := slices.Clone(all)
	for i := range told {
		told[i].Text = page.T(r, told[i].Text)
	}
	return told
}

// types are the event types that the filter offers. Events of a type that a newer
// version published are found by the other filters.
var types = func() (all []choice) {
	for _, d := range events.Registry() {
		all = append(all, choice{string(d.Type), d.Label})
	}
	return all
}()

// actors returns the names of actors: of staff and portal users their present names, of
// a process or an operator the name in the event.
func (p *Pages) actors(ctx context.Context, all []string) (map[string]string, error) {
	var staff, portalUsers []string
	for _, actor := range all {
		if id, ok := strings.CutPrefix(actor, "staff:"); ok {
			staff = append(staff, id)
		} else if id, ok := strings.CutPrefix(actor, "portal_user:"); ok {
			portalUsers = append(portalUsers, id)
		}
	}
	names, err := p.Messages.StaffNames(ctx, staff)
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, actor := range all {
		kind, name, _ := strings.Cut(actor, ":")
		named[actor] = name + " (" + language.From(ctx).Text(kind) + ")"
	}
	for id, name := range names {
		named["staff:"+id] = name
	}
	if names, err = p.Messages.PortalUserNames(ctx, portalUsers); err != nil {
		return nil, err
	}
	for id, name := range names {
		named["portal_user:"+id] = name
	}
	return named, nil
}

// The kinds of actors that are no person's account.
var _ = []string{language.Mark("process"), language.Mark("operator")}

// ago writes a duration as a time in the past.
func ago(r *http.Request, d time.Duration) string {
	l := language.From(r.Context())
	switch {
	case d < time.Minute:
		return l.Text("{n} s ago", "n", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return l.Text("{n} min ago", "n", int(d.Minutes()))
	case d < 48*time.Hour:
		return l.Count(int(d.Hours()), "{n} hour ago", "{n} hours ago")
	}
	return l.Count(int(d.Hours()/24), "{n} day ago", "{n} days ago")
}

// wrongText returns the fault of a reason or a note. subject begins the message, and empty is the
// message for one that is not there.
func wrongText(r *http.Request, field, subject, empty, text string) page.Errors {
	if compose.CheckReason(text) == nil {
		return nil
	}
	message := subject + " is not valid UTF-8"
	if strings.TrimSpace(text) == "" {
		message = empty
	} else if n := utf8.RuneCountInString(text); n > int(limits.Reason) {
		message = page.T(r, subject+" has {n} characters; at most {most} are allowed", "n", strconv.Itoa(n), "most", strconv.Itoa(int(limits.Reason)))
	} else if at := strings.IndexFunc(text, unicode.IsControl); at >= 0 {
		control, _ := utf8.DecodeRuneInString(text[at:])
		message = page.T(r, subject+" holds the control character {code}, which plain text can't have here", "code", fmt.Sprintf("U+%04X", control))
	}
	return page.Errors{{Field: field, Message: message}}
}

// The messages of wrongText.
var _ = []string{
	language.Mark("The text is not valid UTF-8"), language.Mark("The reason is not valid UTF-8"),
	language.Mark("The text has {n} characters; at most {most} are allowed"), language.Mark("The reason has {n} characters; at most {most} are allowed"),
	language.Mark("The text holds the control character {code}, which plain text can't have here"),
	language.Mark("The reason holds the control character {code}, which plain text can't have here"),
}
