// Package letters is the pages on which staff print letters to portal users whom no e-mail reaches:
// about messages that they have not opened, and with a user name and a code for those who can't sign
// in otherwise (see access.Letter).
//
// Lists and the page of a person post the ids of people here. The first page says what will be
// printed; the second one has the letters, one to a sheet. The codes are on that page alone: loaded
// again, it makes no others.
package letters

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/limits"
	"postern/internal/messages"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Gate     *access.Gate
	Messages *messages.Reader
	// Clinic reads what letters show of the clinic.
	Clinic func(context.Context) (clinic.Face, error)
	// PublicURL is the address of the portal.
	PublicURL string
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages. The ids of people are in no address. Only letters with a code
// need more: see [policy.MakeLetters].
func (p *Pages) Routes() []page.Route {
	may := page.May(policy.SendMessage, policy.SeeDirectory)
	return []page.Route{
		{Pattern: "POST /letters/new", Realm: policy.RealmStaff, Actions: may, Handle: p.ask},
		{Pattern: "POST /letters", Realm: policy.RealmStaff, Actions: may, Handle: p.print},
	}
}

// A list is where the people of letters come from.
type list struct{ Path, Name string }

var (
	unread  = list{"/worklists/unread", language.Mark("Not opened yet")}
	noEmail = list{"/worklists/no-email", language.Mark("No working e-mail")}
)

// chosen are the people of letters, as a form names them.
type chosen struct {
	From    list
	IDs     []string
	About   bool   // each has a message that they have not opened
	Renewed bool   // a person who could sign in before gets a new code
	Next    *batch // the next people of the whole list, nil for none
	// Language is that of letters to people who chose none for their account.
	Language language.Language
}

// Languages are those to choose from.
func (c chosen) Languages() []language.Language { return language.Portal }

// batch names the next people of a whole list.
type batch struct{ All, Days, Message, After string }

// most is the most letters of one page.
const most = int(limits.Letters)

// chosenOf reads the people who are ticked, or the next of a whole list.
func (p *Pages) chosenOf(r *http.Request) (c chosen, err error) {
	_ = r.PostFormValue("all") // parses the form
	c.IDs = r.PostForm["user"]
	c.Renewed, c.Language = r.PostForm.Has("renew"), language.Default
	if l, known := language.Parse(r.PostFormValue("language")); known {
		c.Language = l
	}
	for _, delivery := range r.PostForm["delivery"] {
		if _, id, ok := strings.Cut(delivery, " "); ok {
			c.IDs, c.About = append(c.IDs, id), true
		}
	}
	c.About = c.About || r.PostForm.Has("about")
	c.From = noEmail
	if c.About {
		c.From = unread
	}
	if c.Renewed && len(c.IDs) == 1 {
		c.From = list{"/directory/portal-users/" + c.IDs[0], language.Mark("Address and account")}
	}
	switch r.PostFormValue("all") {
	case "no-email":
		err = p.allWithoutEmail(r, &c)
	case "unread":
		err = p.allUnread(r, &c)
	}
	seen := map[string]bool{}
	c.IDs = slices.DeleteFunc(c.IDs, func(id string) bool { was := seen[id]; seen[id] = true; return was || id == "" })
	c.IDs = c.IDs[:min(len(c.IDs), most)]
	return c, err
}

func (p *Pages) allWithoutEmail(r *http.Request, c *chosen) error {
	after, _ := strconv.ParseInt(r.PostFormValue("after"), 10, 32)
	found, err := p.Messages.WithoutEmail(r.Context(), int32(after), most+1) // #nosec G115 -- parsed as such
	if err != nil {
		return err
	}
	if c.IDs, c.From = nil, noEmail; len(found) > most {
		found = found[:most]
		c.Next = &batch{All: "no-email", After: strconv.Itoa(int(found[most-1].PortalUserNo))}
	}
	for _, one := range found {
		c.IDs = append(c.IDs, one.PortalUserID)
	}
	return nil
}

func (p *Pages) allUnread(r *http.Request, c *chosen) error {
	days := page.Number(r, "days", 0, 3650)
	after, _ := strconv.ParseInt(r.PostFormValue("after"), 10, 32)
	message, _ := uuid.Parse(r.PostFormValue("message"))
	found, next, err := p.Messages.Unread(r.Context(), page.Subject(r), p.Now().AddDate(0, 0, -days),
		messages.Cursor{Message: message, After: int32(after)}, most) // #nosec G115 -- parsed as such
	if err != nil {
		return err
	}
	if c.IDs, c.From, c.About = nil, unread, true; next != nil {
		c.Next = &batch{"unread", strconv.Itoa(days), next.Message.String(), strconv.Itoa(int(next.After))}
	}
	for _, one := range found {
		c.IDs = append(c.IDs, one.PortalUserID)
	}
	return nil
}

// asking is the data of the page that says what will be printed.
type asking struct {
	chosen
	Print          string
	WithCode, Less int // the numbers of letters with a code, and without
	// Refused is whether some can't sign in, and the reader may not make codes.
	Refused bool
	Days    int // how long a code works
}

func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	c, err := p.chosenOf(r)
	if err != nil {
		return err
	}
	if len(c.IDs) == 0 {
		return p.Redirect(w, r, c.From.Path, "Tick the people to whom letters go.")
	}
	return p.showAsking(w, r, c)
}

func (p *Pages) showAsking(w http.ResponseWriter, r *http.Request, c chosen) error {
	people, err := p.Gate.Addressees(r.Context(), c.IDs)
	if err != nil {
		return err
	}
	a := asking{chosen: c, Print: access.NewPrint().ID.String(), Days: int(limits.LetterCode)}
	invites := policy.Allow(page.Subject(r), policy.MakeLetters) == nil
	for _, one := range people {
		switch needs := c.getsCode(one); {
		case needs && invites:
			a.WithCode++
		case needs:
			a.Refused = true
			fallthrough
		default:
			a.Less++
		}
	}
	return p.Render(w, r, set, page.View{Template: "ask.html", Title: "Print letters", Section: "messages", Data: a})
}

// getsCode reports whether the letter of a portal user has a code, if the reader may make codes.
func (c chosen) getsCode(a access.Addressee) bool {
	return a.NeedsWayIn() || c.Renewed && a.Active && !a.Email
}

// sheets is the data of the page with the letters.
type sheets struct {
	chosen
	Letters []sheet
	Left    []string // the names of those who got no letter, because theirs was made before
}

// sheet is one letter, in the language of the person.
type sheet struct {
	access.Addressee
	Text template.HTML
}

// letter is the dot of letter.html.
type letter struct {
	access.Addressee
	Clinic  clinic.Face
	Contact []string // the lines of the clinic
	Portal  string   // the address of the portal, without https://
	Today   time.Time
	About   bool           // there is a message that they have not opened
	Code    *access.Letter // nil: the letter has none
}

// sheet makes the letter of a person.
func (c chosen) sheet(l letter) (sheet, error) {
	l.Language = cmp.Or(l.Language, c.Language)
	l.Contact = l.Clinic.Contact(l.Language.Text("Telephone"))
	text, err := set.Part(l.Language, "letter.html", l)
	return sheet{l.Addressee, text}, err
}

// print makes the letters. A form that is sent again makes no code again.
func (p *Pages) print(w http.ResponseWriter, r *http.Request) error {
	c, err := p.chosenOf(r)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(r.PostFormValue("print"))
	if err != nil || len(c.IDs) == 0 {
		return p.Redirect(w, r, c.From.Path, "Tick the people to whom letters go.")
	}
	people, err := p.Gate.Addressees(r.Context(), c.IDs)
	if err != nil {
		return err
	}
	made, refused, err := p.codes(r, c, people, access.Print{ID: id})
	if err != nil {
		return err
	}
	s := sheets{chosen: c}
	portal := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(p.PublicURL, "https://"), "http://"), "/") + "/portal"
	if all := r.PostFormValue("next-all"); all != "" {
		s.Next = &batch{all, r.PostFormValue("next-days"), r.PostFormValue("next-message"), r.PostFormValue("next-after")}
	}
	face, err := p.Clinic(r.Context())
	if err != nil {
		return err
	}
	for _, one := range people {
		if refused[one.PortalUserID] != nil {
			s.Left = append(s.Left, one.Name)
			continue
		}
		sheet, err := c.sheet(letter{Addressee: one, Clinic: face, Portal: portal, Today: p.Now(), About: c.About, Code: made[one.PortalUserID]})
		if err != nil {
			return err
		}
		s.Letters = append(s.Letters, sheet)
	}
	return p.Render(w, r, set, page.View{Template: "print.html", Title: "Letters", Section: "messages", Scripts: []string{"reader.js"}, Data: s})
}

// codes makes the letters that have a code, if the reader may make them.
func (p *Pages) codes(r *http.Request, c chosen, people []access.Addressee, print access.Print) (map[string]*access.Letter, map[string]error, error) {
	me := page.Subject(r)
	if policy.Allow(me, policy.MakeLetters) != nil {
		return nil, nil, nil
	}
	var ids []string
	for _, one := range people {
		if c.getsCode(one) {
			ids = append(ids, one.PortalUserID)
		}
	}
	letters, refused, err := p.Gate.MakeLetters(r.Context(), me.Actor(), ids, print)
	if err != nil {
		return nil, nil, err
	}
	made := map[string]*access.Letter{}
	for i := range letters {
		made[letters[i].PortalUserID] = &letters[i]
	}
	for id, why := range refused {
		if !errors.Is(why, access.ErrLetterMade) { // since the question: a letter without a code
			delete(refused, id)
		}
	}
	return made, refused, nil
}
