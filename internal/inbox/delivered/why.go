package delivered

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/proof/merkle"
)

// Database reads rows: a pool, a connection or a transaction of pgx.
type Database interface {
	cited.Querier
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Why says why a portal user is in the audience of a message, or is not, as the directory was
// when the audience was frozen.
type Why struct {
	In     bool
	Reason rule.Reason
	// Patients are the ids of the patients whose links are the reason. If the reason is about no
	// link, they are those whose links were in force.
	Patients []string
	Day      time.Time // on which the groups were evaluated
	Groups   []string  // to which the message was sent
}

// Reasons that no rule gives.
const (
	// ToGroup is for deliveries of format 1: the record does not say which of several groups
	// the portal user was in.
	ToGroup rule.Reason = "group"
	// NotChosen is for messages without groups.
	NotChosen rule.Reason = "not_chosen"
	// InNoGroup is for a person without a link, now or later, that would count.
	InNoGroup rule.Reason = "in_no_group"
	// NotInDirectory is for a portal user who came later than the roster.
	NotInDirectory rule.Reason = "not_in_directory"
	// NoRoster is for a portal user whose block has no recipient, and whose roster is lost or, in
	// an audience.resolved of version 1, was not cited: the portal user was in no group or not in
	// the directory.
	NoRoster rule.Reason = "no_roster_cited"
	// NotRecorded is for a message to groups of format 1, whose events only name the recipients.
	NotRecorded rule.Reason = "not_recorded"
)

var (
	errNoMessage    = problem.NotFound.New("there is no such message")
	errNoPortalUser = problem.NotFound.New("there is no such portal user")
	errNotFrozen    = problem.NotReady.New("the message has no audience yet: it was cancelled, or it was not sent out yet")
)

// Explain returns the reason. Errors wrap [cited.ErrDamaged] if a cited roster is missing or
// was changed, and are problems if there is no such message, audience or portal user.
func Explain(ctx context.Context, q Database, message uuid.UUID, portalUser string) (Why, error) {
	w, err := explain(ctx, q, message, portalUser)
	if err != nil {
		return Why{}, fmt.Errorf("looking why: %w", err)
	}
	return w, nil
}

func explain(ctx context.Context, q Database, message uuid.UUID, portalUser string) (Why, error) {
	var to events.Selection
	var resolved *time.Time
	err := q.QueryRow(ctx, `SELECT recipients, (SELECT time FROM record.events e WHERE e.message_id = m.message_id AND e.type = 'audience.resolved' AND e.projected ORDER BY seq LIMIT 1)
		FROM record.messages m WHERE message_id = $1`, message).Scan(&to, &resolved)
	if errors.Is(err, pgx.ErrNoRows) {
		return Why{}, errNoMessage
	}
	if err != nil {
		return Why{}, err
	}
	var no int32
	err = q.QueryRow(ctx, `SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1`, portalUser).Scan(&no)
	if errors.Is(err, pgx.ErrNoRows) {
		return Why{}, errNoPortalUser
	}
	if err != nil {
		return Why{}, err
	}
	if resolved == nil {
		return Why{}, errNotFrozen
	}
	w := Why{Day: field.Time(field.Day(*resolved)), Groups: to.Groups}
	rows, err := rowsOf(ctx, q, message, no)
	if err != nil {
		return Why{}, err
	}
	_, place := block.Of(no)
	for _, r := range rows {
		if r.roster != nil {
			w.Day = r.day
			return w, w.byRoster(ctx, q, roster.Digest(r.roster), no, r.members.Has(place), slices.Contains(to.PortalUserIDs, portalUser))
		}
		if r.members.Has(place) {
			return w, w.byEvent(ctx, q, r.seq, portalUser, slices.Contains(to.PortalUserIDs, portalUser))
		}
	}
	return w, w.absent(ctx, q, message, no, slices.Contains(to.PortalUserIDs, portalUser))
}

// inboxRow is a row of record.inbox, for one block.
type inboxRow struct {
	members block.Members
	roster  []byte
	day     time.Time
	seq     int64 // of the event
}

func rowsOf(ctx context.Context, q Database, message uuid.UUID, no int32) (found []inboxRow, err error) {
	b, _ := block.Of(no)
	rows, err := q.Query(ctx, `SELECT i.members, i.roster, coalesce(i.day, c.delivered_at::date), c.seq
		FROM record.inbox i JOIN record.chunks c USING (message_id, chunk) WHERE i.message_id = $1 AND i.block = $2`, message, int32(b))
	if err != nil {
		return nil, err
	}
	var r inboxRow
	var members []byte
	_, err = pgx.ForEachRow(rows, []any{&members, &r.roster, &r.day, &r.seq}, func() error {
		if r.members, err = block.Parse(members); err == nil {
			found = append(found, r)
		}
		r.roster = nil
		return err
	})
	return found, err
}

// byRoster applies the rule to what the cited roster says of the portal user.
func (w *Why) byRoster(ctx context.Context, q Database, root roster.Digest, no int32, in, chosen bool) error {
	groups, err := rule.SetOf(w.Groups)
	if err != nil {
		return err
	}
	w.In = in
	people, err := cited.People(ctx, q, []cited.Want{{Root: root, No: no}})
	if errors.Is(err, roster.ErrNoEntry) && !in {
		w.Reason = NotInDirectory
		return nil
	}
	if err != nil {
		return err
	}
	day := field.Day(w.Day)
	byRule, out := groups.Why(&people[0], day)
	switch {
	case in && chosen:
		w.Reason = rule.Added
		w.ofLinks(rule.InForce(&people[0], day))
		return nil
	case in == (byRule == ""), chosen && !in:
		return fmt.Errorf("the audience is not what the rule gives on roster %s: run `postern verify`", root)
	case in:
		w.Reason = byRule
	case out != "":
		w.Reason = out
	default:
		w.Reason = InNoGroup
	}
	w.ofLinks(groups.Because(&people[0], day))
	return nil
}

func (w *Why) ofLinks(links []rule.Tie) {
	for _, l := range links {
		if !slices.Contains(w.Patients, l.ID) {
			w.Patients = append(w.Patients, l.ID)
		}
	}
}

// byEvent reads the links that an event of format 1 names for its recipient.
func (w *Why) byEvent(ctx context.Context, q Database, seq int64, portalUser string, chosen bool) error {
	var stored []byte
	if err := q.QueryRow(ctx, `SELECT stored FROM record.events WHERE seq = $1`, seq).Scan(&stored); err != nil {
		return err
	}
	s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
	if err != nil {
		return err
	}
	w.In, w.Reason = true, ToGroup
	switch {
	case chosen:
		w.Reason = rule.Added
	case len(w.Groups) == 1:
		w.Reason = reasonOf[rule.Group(w.Groups[0])]
	}
	_, _, err = events.ScanChunk(s.Data, func(r *events.Recipient) error {
		if r.PortalUserID == portalUser {
			for _, l := range r.Links {
				w.ofLinks([]rule.Tie{{ID: l.PatientID}})
			}
		}
		return nil
	})
	return err
}

var reasonOf = map[rule.Group]rule.Reason{rule.ActivePatients: rule.ActivePatient, rule.DischargedPatients: rule.DischargedPatient,
	rule.AllPortalUsers: rule.AnyPortalUser}

// absent finds the reason why a portal user whose block has no recipient is not in the audience.
func (w *Why) absent(ctx context.Context, q Database, message uuid.UUID, no int32, chosen bool) error {
	if len(w.Groups) == 0 {
		w.Reason = NotChosen
		return nil
	}
	a, err := audienceOf(ctx, q, message)
	if err != nil {
		return err
	}
	if a.Directory != "" {
		return w.byDirectory(ctx, q, a, no, chosen)
	}
	var cites *time.Time
	if err := q.QueryRow(ctx, `SELECT min(day) FROM record.inbox WHERE message_id = $1`, message).Scan(&cites); err != nil {
		return err
	}
	w.Reason = NotRecorded
	if cites != nil {
		w.Reason, w.Day = NoRoster, *cites
	}
	return nil
}

// audienceOf reads the audience of a message.
func audienceOf(ctx context.Context, q Database, message uuid.UUID) (a events.AudienceResolved, err error) {
	var seq int64
	var stored []byte
	err = q.QueryRow(ctx, `SELECT seq, stored FROM record.events WHERE message_id = $1 AND type = 'audience.resolved' AND projected ORDER BY seq LIMIT 1`, message).Scan(&seq, &stored)
	if err != nil {
		return a, err
	}
	s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
	if err != nil {
		return a, err
	}
	e, err := events.Parse(s.Header, s.Data)
	if err != nil {
		return a, err
	}
	return events.Decode[events.AudienceResolved](e)
}

// byDirectory applies the rule to the roster that the state of the directory of an audience has for
// a portal user who is not in it.
func (w *Why) byDirectory(ctx context.Context, q Database, a events.AudienceResolved, no int32, chosen bool) error {
	digest, err := roster.ParseName(a.Directory)
	if err != nil {
		return err
	}
	if w.Day, err = time.Parse(time.DateOnly, a.Day); err != nil {
		return err
	}
	state, err := cited.State(ctx, q, digest)
	if err == nil {
		of, _ := block.Of(no)
		at, found := state.Find(of)
		if !found {
			w.Reason = NotInDirectory
			return nil
		}
		err = w.byRoster(ctx, q, state[at].Root, no, false, chosen)
	}
	if errors.Is(err, cited.ErrNoState) || errors.Is(err, cited.ErrDamaged) {
		w.Reason = NoRoster
		return nil
	}
	return err
}

// words are the reasons, with the clinic's labels in braces.
var words = map[rule.Reason]string{
	rule.Added:             "chosen by id",
	rule.ActivePatient:     "linked to an active {patient}",
	rule.DischargedPatient: "linked to a {discharged} {patient}",
	rule.AnyPortalUser:     "an active {portal user}",
	ToGroup:                "in one of the groups; the event is of format 1 and does not say which",
	rule.AccountInactive:   "the account was not active",
	rule.Deceased:          "the {patient} has died",
	rule.LinkEnded:         "the link to the {patient} had ended",
	rule.LinkNotBegun:      "the link to the {patient} had not begun",
	NotChosen:              "not chosen: the message was sent to other {portal users} by id",
	InNoGroup:              "in none of the groups",
	NotInDirectory:         "not in the directory on that day",
	NoRoster:               "in none of the groups, or not in the directory on that day: no {portal user} of the same block got the message, and what the directory said of that block is not stored",
	NotRecorded:            "not recorded: the events are of format 1, and only name the recipients",
}

// Words returns the reason, as part of a sentence. The clinic's labels are in braces: see
// labels.Fill.
func (w Why) Words() string { return words[w.Reason] }

// Plain removes the braces around labels, for people who see none of the clinic's labels.
func Plain(words string) string { return plain.Replace(words) }

var plain = strings.NewReplacer("{", "", "}", "")

// String returns the reason in words, in one line.
func (w Why) String() string {
	text := "in the audience: "
	if !w.In {
		text = "not in the audience: "
	}
	text += Plain(words[w.Reason])
	if len(w.Patients) > 0 {
		text += " (patient " + strings.Join(w.Patients, ", ") + ")"
	}
	text += ", on " + w.Day.Format(time.DateOnly)
	if len(w.Groups) > 0 {
		text += "; sent to " + strings.Join(w.Groups, ", ")
	}
	return text
}
