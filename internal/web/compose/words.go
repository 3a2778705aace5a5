package compose

import (
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
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
	"postern/internal/text/number"
	"postern/internal/text/size"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// allGroups are the groups, in the order in which the page offers them.
var allGroups = []audiences.Group{audiences.ActivePatients, audiences.DischargedPatients, audiences.AllPortalUsers}

// chosenInWords sums up the recipients of a draft: "All Portal Users and 2 portal users".
func chosenInWords(l labels.Labels, s audiences.Selection) string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, l.Group(string(g)))
	}
	switch n := len(s.PortalUserIDs); {
	case n == 1:
		all = append(all, "1 "+page.Lower(l.PortalUser.One))
	case n > 1:
		all = append(all, number.Text(n)+" "+page.Lower(l.PortalUser.Many))
	}
	return strings.Join(all, " and ")
}

// who describes an account: "Authorized Representative of Ben Adams (born 3 May 1950, discharged)".
// It ignores links outside their dates.
func who(l labels.Labels, u directory.PortalUser, now time.Time) string {
	today := zone.In(now).Format(time.DateOnly)
	var self, others []string
	for _, p := range u.Patients {
		if p.From > today || p.Until != "" && p.Until < today {
			continue
		}
		var facts []string
		if b := born(p.BirthDate); b != "" {
			facts = append(facts, b)
		}
		switch {
		case p.Deceased:
			facts = append(facts, "deceased")
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
		said = append(said, l.AuthorizedRepresentative.One+" of "+strings.Join(others, ", "))
	}
	if len(said) == 0 {
		return "Not linked to any " + page.Lower(l.Patient.One)
	}
	return strings.Join(said, "; ")
}

// doubtsAbout says in words why a portal user may be another person than the sender means.
func doubtsAbout(l labels.Labels, doubts []directory.Doubt, id string) (words []string) {
	for _, d := range doubts {
		if d.PortalUserID != id {
			continue
		}
		others := strings.Join(d.Others, ", ")
		switch d.Kind {
		case directory.SameName:
			words = append(words, l.Fill("Another {portal user} has the same name. Check the date of birth or the e-mail address."))
		case directory.SharedAddress:
			words = append(words, "Same e-mail address as "+others+".")
		case directory.MinorsAddress:
			words = append(words, l.Fill("A minor with the e-mail address of "+others+", who acts for them. Is the message for the {patient} alone?"))
		}
	}
	return words
}

// born is a date of birth as people write it, "" if it is not known.
func born(date string) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return ""
	}
	return "born " + day.Format("2 January 2006")
}

// line is a reason with its count now and at the previous check.
type line struct {
	Text     string
	Count    int
	Was      int
	Compared bool
}

// reasonWords is the text of a reason. In the text, {…} stands for a label.
type reasonWords struct {
	reason audiences.Reason
	text   string
}

var (
	included = []reasonWords{
		{audiences.Added, "Chosen by name"},
		{audiences.ActivePatient, "Linked to an active {patient}"},
		{audiences.DischargedPatient, "Linked to a {discharged} {patient}"},
		{audiences.AnyPortalUser, "Has an account"},
	}
	excluded = []reasonWords{
		{audiences.AccountInactive, "The account is not active"},
		{audiences.Deceased, "The {patient} has died"},
		{audiences.LinkEnded, "The link to the {patient} has ended"},
		{audiences.LinkNotBegun, "The link to the {patient} has not started yet"},
	}
	warnings = []reasonWords{
		{audiences.AccountInactive, "with an account that is not active: they can’t sign in and get no e-mail until it is made active in the source system"},
		{audiences.NoAddress, "without an e-mail address: they can’t sign in to the portal, so they won’t see this message there. Send them a letter"},
		{audiences.OptedOut, "who turned off e-mails about new messages: the message comes to their inbox, and they get no e-mail"},
	}
)

// linesOf returns the counts by reason, without reasons whose counts are 0 now and before.
func linesOf(l labels.Labels, words []reasonWords, counts, was map[string]int) (lines []line) {
	for _, w := range words {
		n, before := counts[string(w.reason)], was[string(w.reason)]
		if n > 0 || before > 0 {
			lines = append(lines, line{l.Fill(w.text), n, before, was != nil})
		}
	}
	return lines
}

// why returns the reason why a person receives the message.
func why(l labels.Labels, reason audiences.Reason) string {
	i := slices.IndexFunc(included, func(w reasonWords) bool { return w.reason == reason })
	return l.Fill(included[i].text)
}

// sentence makes a sentence of the text of an error.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// fieldOf returns the field of an error in the date, the time or the choice of one of two
// times.
func fieldOf(err error) string {
	twice := new(draft.Twice)
	switch {
	case errors.Is(err, draft.ErrDay):
		return "send-day"
	case errors.As(err, &twice):
		return "send-offset"
	}
	return "send-time"
}

// places maps a fault of package compose to its field on the page, and to a better text
// where there is one.
var places = []struct{ location, field, about, begins, instead string }{
	{"body.subject", "subject", "The subject ", "is required", "Enter a subject."},
	{"body.subject", "subject", "The subject ", "", ""},
	{"body.body", "message", "The message ", "is required", "Enter a message."},
	{"body.body", "message", "The message ", "", ""},
	{"body.recipients.groups", "find-user", "", "", "One of the groups does not exist. Remove it."},
	{"body.recipients.portal_user_ids[", "find-user", "", "", "One of the recipients is no longer in the directory. Remove them."},
	{"body.recipients.about", "about", "", "", "Choose whom the message concerns, for each recipient with several {patients}."},
	{"body.recipients", "find-user", "", "no one would get", "No one would receive this message. Add a {portal user}, or a group that has members."},
	{"body.recipients", "find-user", "The list of recipients ", "", ""},
	{"body.staff_bcc[", "find-staff", "", "", "A person under Staff Bcc is no longer a staff member. Remove them."},
	{"body.staff_bcc", "find-staff", "Staff Bcc ", "", ""},
	{"body.attachment_ids[", "file", "", "", "A document no longer exists. Remove it and add it again."},
	{"body.attachment_ids", "file", "The list of documents ", "", ""},
	{"body.send_at", "send-day", "The date and time ", "is not in the future", "The date and time must be in the future."},
	{"body.send_at", "send-day", "The date and time ", "is more than", limits.Fill("The date must be within {SendAhead} from now.")},
}

// wrongBecause appends the faults that compose found to wrong, as errors of the page.
// It returns other errors unchanged.
func wrongBecause(l labels.Labels, d draft.Draft, wrong page.Errors, err error) (page.Errors, error) {
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

func inWords(l labels.Labels, d draft.Draft, fault problem.Fault) page.Error {
	if strings.HasPrefix(fault.Location, "body.recipients") && len(d.Recipients.PortalUserIDs)+len(d.Recipients.Groups) == 0 {
		return page.Error{Field: "find-user", Message: "Add at least one recipient."}
	}
	for _, p := range places {
		switch {
		case !strings.HasPrefix(fault.Location, p.location), !strings.HasPrefix(fault.Message, p.begins):
		case p.instead != "":
			return page.Error{Field: p.field, Message: l.Fill(p.instead)}
		default:
			return page.Error{Field: p.field, Message: p.about + fault.Message + "."}
		}
	}
	return page.Error{Message: sentence(fault.Message)}
}

// whyNotAttached says why a file can't be attached; "" if the file is not the cause.
func whyNotAttached(err error) string {
	fileType, infected := new(attachment.TypeError), new(clamd.InfectedError)
	switch {
	case errors.Is(err, attachment.ErrTooLarge):
		return "it is larger than " + limits.AttachmentSize.String() + ". Choose a smaller file, or split it"
	case errors.Is(err, attachment.ErrEmpty):
		return "it is empty"
	case errors.As(err, &fileType):
		return "it " + fileType.Reason() + ". Choose one of " + strings.Join(attachment.Allowed(), ", ")
	case errors.As(err, &infected):
		return "the virus scanner found a threat in it"
	case errors.Is(err, clamd.ErrNoAnswer):
		return "it can’t be checked for viruses right now. Try again in a moment"
	}
	return ""
}

// fileName returns the name of a file, cleaned so that it can be shown.
func fileName(part *multipart.Part) string { return attachment.CleanName(part.FileName()) }

// unreadable returns the error page for a form that could not be read completely.
func unreadable(err error) error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return page.Failure(http.StatusRequestEntityTooLarge, "The form is too large",
			fmt.Sprintf("Nothing was saved. You can send at most %s at once: choose fewer or smaller files.", size.Text(tooLarge.Limit)))
	}
	if errors.Is(err, inbound.ErrBusy) || errors.Is(err, inbound.ErrSlow) {
		return err
	}
	return page.Failure(http.StatusBadRequest, "The form did not arrive completely", "Nothing was saved. Go back and try again.")
}
