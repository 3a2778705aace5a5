package compose

import (
	"errors"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/content/attachment"
	"postern/internal/content/clamd"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/inbound"
	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// allGroups are the groups, in the order in which the page offers them.
var allGroups = []audiences.Group{audiences.ActivePatients, audiences.DischargedPatients, audiences.AllPortalUsers}

// words are what texts for a reader are made of: the clinic's labels and the reader's language.
type words struct {
	labels.Labels
	language.Language
}

func (p *Pages) words(r *http.Request) (words, error) {
	l, err := p.Labels.Current(r.Context())
	return words{l, language.From(r.Context())}, err
}

// portalUsers returns a number of portal users: "2 portal users".
func (l words) portalUsers(n int) string {
	if n == 1 {
		return "1 " + page.Lower(l.PortalUser.One)
	}
	return l.Number(n) + " " + page.Lower(l.PortalUser.Many)
}

// chosenInWords sums up the recipients of a draft: "All Portal Users and 2 portal users".
func chosenInWords(l words, s audiences.Selection) string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, l.Group(string(g)))
	}
	if n := len(s.PortalUserIDs); n > 0 {
		all = append(all, l.portalUsers(n))
	}
	return l.List(all)
}

// who describes an account: "Authorized Representative of Ben Adams (born 3 May 1950, discharged)".
// It ignores links outside their dates.
func who(l words, u directory.PortalUser, now time.Time) string {
	today := zone.In(now).Format(time.DateOnly)
	var self, others []string
	for _, p := range u.Patients {
		if p.From > today || p.Until != "" && p.Until < today {
			continue
		}
		var facts []string
		if b := born(l, p.BirthDate); b != "" {
			facts = append(facts, b)
		}
		switch {
		case p.Deceased:
			facts = append(facts, l.Text("deceased"))
		case p.Status == "discharged":
			facts = append(facts, page.Lower(l.Discharged.One))
		}
		standing := ""
		if len(facts) > 0 {
			standing = " (" + strings.Join(facts, ", ") + ")"
		}
		switch {
		case p.Relationship == directory.Representative:
			others = append(others, p.Name+standing)
		case p.Name == u.Name:
			self = append(self, l.Patient.One+standing)
		default:
			self = append(self, l.Patient.One+", "+p.Name+standing)
		}
	}
	said := self
	if len(others) > 0 {
		said = append(said, l.Text("{representative} of {patients}", "representative", l.AuthorizedRepresentative.One, "patients", strings.Join(others, ", ")))
	}
	if len(said) == 0 {
		return l.Text("Not linked to any {patient}", "patient", page.Lower(l.Patient.One))
	}
	return strings.Join(said, "; ")
}

// doubtsAbout says in words why a portal user may be another person than the sender means.
func doubtsAbout(l words, doubts []directory.Doubt, id string) (said []string) {
	for _, d := range doubts {
		if d.PortalUserID != id {
			continue
		}
		others := strings.Join(d.Others, ", ")
		switch d.Kind {
		case directory.SameName:
			said = append(said, l.Text("Another {user} has the same name. Check the date of birth or the e-mail address.", "user", page.Lower(l.PortalUser.One)))
		case directory.SharedAddress:
			said = append(said, l.Text("Same e-mail address as {others}.", "others", others))
		case directory.MinorsAddress:
			said = append(said, l.Text("A minor with the e-mail address of {others}, who acts for them. Is the message for the {patient} alone?",
				"others", others, "patient", page.Lower(l.Patient.One)))
		}
	}
	return said
}

// born is a date of birth as people write it, "" if it is not known.
func born(l words, date string) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return ""
	}
	return l.Text("born {date}", "date", l.Date(day))
}

// line is a reason with its count now and at the previous check.
type line struct {
	Text     string
	Count    int
	Was      int
	Compared bool
}

// reasonWords is the text of a reason. In the text, {…} stands for a label, and {count} for the number
// of portal users.
type reasonWords struct {
	reason audiences.Reason
	text   string
}

var (
	included = []reasonWords{
		{audiences.Added, language.Mark("Chosen by name")},
		{audiences.ActivePatient, language.Mark("Linked to an active {patient}")},
		{audiences.DischargedPatient, language.Mark("Linked to a {discharged} {patient}")},
		{audiences.AnyPortalUser, language.Mark("Has an account")},
	}
	excluded = []reasonWords{
		{audiences.AccountInactive, language.Mark("The account is not active")},
		{audiences.Deceased, language.Mark("The {patient} has died")},
		{audiences.LinkEnded, language.Mark("The link to the {patient} has ended")},
		{audiences.LinkNotBegun, language.Mark("The link to the {patient} has not started yet")},
	}
	warnings = []reasonWords{
		{audiences.AccountInactive, language.Mark("{count} with an account that is not active: they can’t sign in and get no e-mail until it is made active in the source system.")},
		{audiences.NoAddress, language.Mark("{count} without an e-mail address: they can’t sign in to the portal, so they won’t see this message there. Send them a letter.")},
		{audiences.OptedOut, language.Mark("{count} who turned off e-mails about new messages: the message comes to their inbox, and they get no e-mail.")},
	}
)

// linesOf returns the counts by reason, without reasons whose counts are 0 now and before.
func linesOf(l words, reasons []reasonWords, counts, was map[string]int) (lines []line) {
	for _, w := range reasons {
		n, before := counts[string(w.reason)], was[string(w.reason)]
		if n > 0 || before > 0 {
			lines = append(lines, line{w.in(l, n), n, before, was != nil})
		}
	}
	return lines
}

// why returns the reason why a person receives the message.
func why(l words, reason audiences.Reason) string {
	i := slices.IndexFunc(included, func(w reasonWords) bool { return w.reason == reason })
	return included[i].in(l, 1)
}

// in returns the text for a number of portal users.
func (w reasonWords) in(l words, n int) string {
	return l.Text(w.text, "count", l.portalUsers(n), "patient", page.Lower(l.Patient.One), "discharged", page.Lower(l.Discharged.One))
}

// whenError is an error of the date, the time or the choice of one of two times, as an error of the page.
func whenError(l words, err error) page.Error {
	twice, skipped := new(draft.Twice), new(draft.Skipped)
	switch {
	case errors.As(err, &twice):
		return page.Error{Field: "send-offset", Message: l.Text("The clocks go back on that day and show this time twice: choose the first ({first}) or the second ({second}).",
			"first", zone.Offset(twice.First), "second", zone.Offset(twice.Second))}
	case errors.As(err, &skipped):
		return page.Error{Field: "send-time", Message: l.Text("The clocks go forward on that day and skip this time: the next one is {time} ({offset}).",
			"time", l.Clock(skipped.Next, false), "offset", zone.Offset(skipped.Next))}
	case errors.Is(err, draft.ErrDay):
		return page.Error{Field: "send-day", Message: l.Text(page.Sentence(err))}
	}
	return page.Error{Field: "send-time", Message: l.Text(page.Sentence(err))}
}

// A rule says a fault of another package in the words of a page.
type rule struct {
	location, field string
	fault           *regexp.Regexp // of the fault's message from its beginning; its groups are values of the text
	text            string
}

// find returns the first rule for a fault, and the values that the fault has for its text.
func find(rules []rule, fault problem.Fault) (found *rule, values []any) {
	for _, r := range rules {
		match := r.fault.FindStringSubmatch(fault.Message)
		if !strings.HasPrefix(fault.Location, r.location) || match == nil {
			continue
		}
		for i, name := range r.fault.SubexpNames()[1:] {
			values = append(values, name, match[i+1])
		}
		return &r, values
	}
	return nil, nil
}

// The faults of a text.
var (
	isAny      = regexp.MustCompile(`^(?P<fault>.*)`)
	isMissing  = regexp.MustCompile(`^is required`)
	isLong     = regexp.MustCompile(`^has (?P<count>\d+) characters; at most (?P<most>\d+) are allowed`)
	hasControl = regexp.MustCompile(`^holds the control character (?P<code>\S+),`)
)

// rules are those for the faults of package compose.
var rules = []rule{
	{"body.subject", "subject", isMissing, language.Mark("Enter a subject.")},
	{"body.subject", "subject", isLong, language.Mark("The subject has {count} characters; at most {most} are allowed.")},
	{"body.subject", "subject", hasControl, language.Mark("The subject holds the control character {code}, which plain text can't have here.")},
	{"body.subject", "subject", isAny, language.Mark("The subject {fault}.")},
	{"body.body", "message", isMissing, language.Mark("Enter a message.")},
	{"body.body", "message", isLong, language.Mark("The message has {count} characters; at most {most} are allowed.")},
	{"body.body", "message", hasControl, language.Mark("The message holds the control character {code}, which plain text can't have here.")},
	{"body.body", "message", isAny, language.Mark("The message {fault}.")},
	{"body.recipients.groups", "find-user", isAny, language.Mark("One of the groups does not exist. Remove it.")},
	{"body.recipients.portal_user_ids[", "find-user", isAny, language.Mark("One of the recipients is no longer in the directory. Remove them.")},
	{"body.recipients.about", "about", isAny, language.Mark("Choose whom the message concerns, for each recipient with several {patients}.")},
	{"body.recipients", "find-user", regexp.MustCompile("^no one would get"), language.Mark("No one would receive this message. Add a {user}, or a group that has members.")},
	{"body.recipients", "find-user", regexp.MustCompile(`^names (?P<count>\d+) portal users; choose at most (?P<most>\S+) one by one, or a group`),
		language.Mark("The list of recipients names {count} portal users; choose at most {most} one by one, or a group.")},
	{"body.recipients", "find-user", isAny, language.Mark("The list of recipients {fault}.")},
	{"body.staff_bcc[", "find-staff", isAny, language.Mark("A person under Staff Bcc is no longer a staff member. Remove them.")},
	{"body.staff_bcc", "find-staff", regexp.MustCompile(`^names (?P<count>\d+) staff; at most (?P<most>\S+) can be named`),
		language.Mark("Staff Bcc names {count} staff; at most {most} can be named.")},
	{"body.staff_bcc", "find-staff", isAny, language.Mark("Staff Bcc {fault}.")},
	{"body.attachment_ids[", "file", isAny, language.Mark("A document no longer exists. Remove it and add it again.")},
	{"body.attachment_ids", "file", isAny, language.Mark("The list of documents {fault}.")},
	{"body.send_at", "send-day", regexp.MustCompile("^is not in the future"), language.Mark("The date and time must be in the future.")},
	{"body.send_at", "send-day", regexp.MustCompile("^is more than"), language.Mark("The date must be within {days} days from now.")},
}

// wrongBecause appends the faults that compose found to wrong, as errors of the page.
// It returns other errors unchanged.
func wrongBecause(l words, d draft.Draft, wrong page.Errors, err error) (page.Errors, error) {
	invalid := new(compose.Invalid)
	switch {
	case err == nil:
	case errors.As(err, &invalid):
		for _, fault := range invalid.Faults {
			one := inWords(l, d, fault)
			if !slices.Contains(wrong, one) {
				wrong = append(wrong, one)
			}
		}
	case errors.Is(err, policy.ErrForbidden) && len(d.Recipients.Groups) > 0:
		wrong = append(wrong, page.Error{Field: "find-user", Message: "You no longer have permission to send to groups. Remove the groups from the recipients, or ask an administrator for the permission."})
	default:
		return nil, err
	}
	slices.SortStableFunc(wrong, func(a, b page.Error) int { return slices.Index(inOrder, a.Field) - slices.Index(inOrder, b.Field) })
	return wrong, nil
}

// inOrder are the fields in their order on the page.
var inOrder = []string{"about", "find-user", "subject", "message", "file", "find-staff", "send-day", "send-time", "send-offset"}

func inWords(l words, d draft.Draft, fault problem.Fault) page.Error {
	if strings.HasPrefix(fault.Location, "body.recipients") && len(d.Recipients.PortalUserIDs)+len(d.Recipients.Groups) == 0 {
		return page.Error{Field: "find-user", Message: "Add at least one recipient."}
	}
	r, values := find(rules, fault)
	if r == nil {
		return page.Error{Message: strings.ToUpper(fault.Message[:1]) + fault.Message[1:] + "."}
	}
	values = append(values, "patients", page.Lower(l.Patient.Many), "user", page.Lower(l.PortalUser.One), "days", int(limits.SendAhead))
	return page.Error{Field: r.field, Message: l.Text(r.text, values...)}
}

// whyNotAttached says why a file was not added; "" if the file is not the cause.
func whyNotAttached(l language.Language, name string, err error) string {
	fileType, infected := new(attachment.TypeError), new(clamd.InfectedError)
	switch {
	case errors.Is(err, attachment.ErrTooLarge):
		return l.Text("“{name}” was not added: it is larger than {size}. Choose a smaller file, or split it.", "name", name, "size", l.Size(int64(limits.AttachmentSize)))
	case errors.Is(err, attachment.ErrEmpty):
		return l.Text("“{name}” was not added: it is empty.", "name", name)
	case errors.As(err, &fileType):
		return l.Text("“{name}” was not added: it {reason}. Choose one of {types}.", "name", name, "reason", l.Text(fileType.Reason()), "types", types(l))
	case errors.As(err, &infected):
		return l.Text("“{name}” was not added: the virus scanner found a threat in it.", "name", name)
	case errors.Is(err, clamd.ErrNoAnswer):
		return l.Text("“{name}” was not added: it can’t be checked for viruses right now. Try again in a moment.", "name", name)
	}
	return ""
}

// types lists the types of files that can be sent.
func types(l language.Language) string {
	allowed := attachment.Allowed()
	for i := range allowed {
		allowed[i] = l.Text(allowed[i])
	}
	return strings.Join(allowed, ", ")
}

// fileName returns the name of a file, cleaned so that it can be shown.
func fileName(part *multipart.Part) string { return attachment.CleanName(part.FileName()) }

// unreadable returns the error page for a form that could not be read completely.
func unreadable(r *http.Request, err error) error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return page.Failure(http.StatusRequestEntityTooLarge, language.Mark("The form is too large"),
			page.T(r, "Nothing was saved. You can send at most {size} at once: choose fewer or smaller files.", "size", language.From(r.Context()).Size(tooLarge.Limit)))
	}
	if errors.Is(err, inbound.ErrBusy) || errors.Is(err, inbound.ErrSlow) {
		return err
	}
	return page.Failure(http.StatusBadRequest, language.Mark("The form did not arrive completely"), language.Mark("Nothing was saved. Go back and try again."))
}
