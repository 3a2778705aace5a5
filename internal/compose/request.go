package compose

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
)

// maxKey is the most bytes of an idempotency key.
const maxKey = 255

// defaultUndo is how long a message to a group is held, if UndoSeconds is nil.
const defaultUndo = 10 * time.Second

// Request is a message to send.
type Request struct {
	Subject       string
	Body          string
	Recipients    audience.Selection
	StaffBcc      []string
	AttachmentIDs []uuid.UUID
	// AudienceDigest is the digest of the preview that the sender confirmed; "": none.
	AudienceDigest string
	// SendAt is when to send; nil: now. It overrides UndoSeconds.
	SendAt *time.Time
	// UndoSeconds is how long to hold the message; nil: 10 for a group, else 0.
	UndoSeconds *int
	// MustPick refuses a chosen portal user who is linked to several patients, of whom none was picked.
	// Without it, the message does not state whom it concerns for that portal user.
	MustPick bool `json:"-"`
}

// Invalid is the error of a request, with all its faults.
type Invalid struct{ Faults []problem.Fault }

func (e *Invalid) Error() string {
	said := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		said[i] = f.Location + ": " + f.Message
	}
	return strings.Join(said, "; ")
}

// Problem returns the answer to the request.
func (e *Invalid) Problem() *problem.Error {
	return problem.InvalidRequest.Problem(e.Faults[0].Location+" "+e.Faults[0].Message, e.Faults...)
}

// faults collects the faults of a request.
type faults []problem.Fault

func (f *faults) add(location, format string, args ...any) {
	*f = append(*f, problem.Fault{Location: location, Message: fmt.Sprintf(format, args...)})
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &Invalid{Faults: f}
}

// normal returns the request in the form in which it is checked, compared with a retry,
// and sent: line breaks are LF, and repeated recipients, groups and staff are removed.
func (r Request) normal() Request {
	r.Body = strings.ReplaceAll(r.Body, "\r\n", "\n")
	r.Recipients.PortalUserIDs = distinct(r.Recipients.PortalUserIDs)
	r.Recipients.Groups = distinct(r.Recipients.Groups)
	r.Recipients.About = normalAbout(r.Recipients.About)
	r.StaffBcc = distinct(r.StaffBcc)
	r.AttachmentIDs = slices.Clone(r.AttachmentIDs)
	if r.SendAt != nil {
		at := r.SendAt.UTC().Truncate(time.Microsecond)
		r.SendAt = &at
	}
	return r
}

// normalAbout removes repeated patients. The result is nil if no patient is named.
func normalAbout(all []audience.About) (kept []audience.About) {
	for _, a := range all {
		kept = append(kept, audience.About{PortalUserID: a.PortalUserID, PatientIDs: distinct(a.PatientIDs)})
	}
	return kept
}

// distinct returns the values without repetitions, in order. The result is never nil.
func distinct[T comparable](all []T) []T {
	seen := make(map[T]bool, len(all))
	kept := make([]T, 0, len(all))
	for _, v := range all {
		if !seen[v] {
			seen[v] = true
			kept = append(kept, v)
		}
	}
	return kept
}

// hold returns whether the message is held, and when it is released if it is sent at sentAt.
func (r Request) hold(sentAt time.Time) (events.Hold, time.Time) {
	undo := time.Duration(0)
	switch {
	case r.SendAt != nil:
		return events.HoldScheduled, *r.SendAt
	case r.UndoSeconds != nil:
		undo = time.Duration(*r.UndoSeconds) * time.Second
	case len(r.Recipients.Groups) > 0:
		undo = defaultUndo
	}
	if undo == 0 {
		return events.HoldNone, sentAt
	}
	return events.HoldUndo, sentAt.Add(undo)
}

// check finds the faults of a normal request that do not depend on the sender or the
// directory.
func (r Request) check(f *faults, now time.Time) {
	checkText(f, "body.subject", r.Subject, limits.Subject, "")
	checkText(f, "body.body", r.Body, limits.Body, "\n\t")
	checkSelection(f, r.Recipients)
	if len(r.StaffBcc) > int(limits.StaffBcc) {
		f.add("body.staff_bcc", "names %d staff; at most %s can be named", len(r.StaffBcc), limits.StaffBcc)
	}
	if len(r.AttachmentIDs) > int(limits.Attachments) {
		f.add("body.attachment_ids", "names %d attachments; a message carries at most %s", len(r.AttachmentIDs), limits.Attachments)
	}
	for i, id := range r.AttachmentIDs {
		if slices.Contains(r.AttachmentIDs[:i], id) {
			f.add(fmt.Sprintf("body.attachment_ids[%d]", i), "attachment %s is named twice", id)
		}
	}
	if r.SendAt != nil && !r.SendAt.After(now) {
		f.add("body.send_at", "is not in the future; leave it out to send now")
	}
	if r.SendAt != nil && r.SendAt.After(now.AddDate(0, 0, int(limits.SendAhead))) {
		f.add("body.send_at", "is more than %s from now", limits.SendAhead)
	}
	if r.UndoSeconds != nil && (*r.UndoSeconds < 0 || *r.UndoSeconds > int(limits.Undo)) {
		f.add("body.undo_seconds", "must be between 0 and %d", int(limits.Undo))
	}
}

// checkText requires plain text of 1 to most characters that is not blank, and without
// control characters other than the allowed ones.
func checkText(f *faults, location, text string, most limits.Characters, allowed string) {
	switch {
	case !utf8.ValidString(text):
		f.add(location, "is not valid UTF-8")
	case strings.TrimSpace(text) == "":
		f.add(location, "is required and can't be blank")
	case utf8.RuneCountInString(text) > int(most):
		f.add(location, "has %d characters; at most %d are allowed", utf8.RuneCountInString(text), int(most))
	}
	for _, c := range text {
		if unicode.IsControl(c) && !strings.ContainsRune(allowed, c) {
			f.add(location, "holds the control character U+%04X, which plain text can't have here", c)
			return
		}
	}
}

func checkSelection(f *faults, s audience.Selection) {
	if len(s.PortalUserIDs) > int(limits.Recipients) {
		f.add("body.recipients.portal_user_ids", "names %d portal users; choose at most %s one by one, or a group", len(s.PortalUserIDs), limits.Recipients)
	}
	for i, id := range s.PortalUserIDs[:min(len(s.PortalUserIDs), int(limits.Recipients))] {
		if !isID(id) {
			f.add(fmt.Sprintf("body.recipients.portal_user_ids[%d]", i), "%.80q is not the id of a portal user", id)
		}
	}
	for i, g := range s.Groups {
		switch g {
		case audience.ActivePatients, audience.DischargedPatients, audience.AllPortalUsers:
		default:
			f.add(fmt.Sprintf("body.recipients.groups[%d]", i), "%.80q is not a group: choose %s, %s or %s", g,
				audience.ActivePatients, audience.DischargedPatients, audience.AllPortalUsers)
		}
	}
	checkAbout(f, s)
}

// checkAbout finds picks of portal users who are not chosen, or named twice, and of wrong ids.
func checkAbout(f *faults, s audience.Selection) {
	chosen, named := map[string]bool{}, map[string]bool{}
	for _, id := range s.PortalUserIDs {
		chosen[id] = true
	}
	for i, a := range s.About[:min(len(s.About), int(limits.Recipients))] {
		at := aboutAt(i)
		switch {
		case !chosen[a.PortalUserID]:
			f.add(at+".portal_user_id", "%.80q is not one of portal_user_ids: choose the portal user there too", a.PortalUserID)
		case named[a.PortalUserID]:
			f.add(at+".portal_user_id", "portal user %s is named twice: give all patients at once", a.PortalUserID)
		}
		named[a.PortalUserID] = true
		for n, id := range a.PatientIDs {
			if !isID(id) {
				f.add(fmt.Sprintf("%s.patient_ids[%d]", at, n), "%.80q is not the id of a patient", id)
			}
		}
	}
	if len(s.About) > int(limits.Recipients) {
		f.add("body.recipients.about", "has %d portal users; at most %s are chosen one by one", len(s.About), limits.Recipients)
	}
}

// aboutAt is the location of the picks of one portal user.
func aboutAt(i int) string { return fmt.Sprintf("body.recipients.about[%d]", i) }

// isID reports whether s can be an id of the directory or of staff. Other texts must not
// be used in a query, because Postgres refuses a NUL.
func isID(s string) bool {
	if s == "" || len(s) > int(limits.DirectoryID) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// checkKey requires 1 to 255 visible ASCII characters.
func checkKey(f *faults, key string) {
	visible := func(r rune) bool { return r > ' ' && r <= '~' }
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return !visible(r) }) {
		f.add("header.Idempotency-Key", "must be 1 to %d visible ASCII characters, a new one for each message", maxKey)
	}
}
