// Package twopeople says whether two staff members count as two people for an act that takes
// two, such as an erasure or giving a permission. Every such act asks [Rule.Check], under the
// lease of permissions, before it publishes the approval.
//
// Two accounts count as two people if
//
//   - they are of two staff members, both enabled, who both hold the permission of the act;
//   - both are older than [Rule.Age];
//   - neither was given that permission by the other within that time;
//   - within that time no other staff member changed the e-mail address of either, or reset
//     its second factor: that person may be able to sign in as them;
//   - each has a second factor, if the clinic asks for one.
//
// An account that the other person created is no other case: within the time it is too young.
//
// The command line of the machine counts as another person than any staff member: only the
// machine's owner has it.
//
// Everything is read from the record: from the projected accounts, and from the events of the
// time. So a row that someone changed in another table changes nothing here.
package twopeople

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/proof/merkle"
	"postern/internal/text/language"
)

// A Rule has the settings of a clinic.
type Rule struct {
	// Age is how old an account, a permission given by the other person, and a change of how an
	// account signs in must be. Zero: none of them is looked at.
	Age time.Duration
	// Factor asks a second factor of both.
	Factor bool
}

// Days is an age in days.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// An Act takes two people.
type Act struct {
	// Permission is what both must hold.
	Permission policy.Permission
	// First and Second are actors, as events name them: who requested the act, and who is about to
	// approve it.
	First, Second string
	// Done is set if the first person has acted already, and the second only looks at it, as a
	// review. Then only the second person's account is looked at, and whether it owes the
	// permission to the first.
	Done bool
	// For is the id of a staff member who can't be the second person, because the act is for them;
	// "": no one.
	For string
}

// NotTwo says why two people don't count as two for an act.
type NotTwo struct {
	Reasons []language.Message // what is missing, for the second person to read
	Until   time.Time          // when waiting alone helps; zero: it does not
	Others  []string           // the names of staff who could approve instead, at most three
}

func (e NotTwo) Error() string { return language.NewError(e.Message()).Error() }

// Message implements [language.Localized].
func (e NotTwo) Message() language.Message {
	m := language.Message{Args: []any{"reasons", e.Reasons, "day", e.Until.UTC(), "time", e.Until.UTC().Format("15:04 UTC"), "others", strings.Join(e.Others, ", ")}}
	switch waits, others := !e.Until.IsZero(), len(e.Others) > 0; {
	case waits && others:
		m.ID = language.Mark("This takes two people: {reasons}. Wait until {day}, {time}, or ask another person: {others}.")
	case waits:
		m.ID = language.Mark("This takes two people: {reasons}. Wait until {day}, {time}.")
	case others:
		m.ID = language.Mark("This takes two people: {reasons}. Ask another person: {others}.")
	default:
		m.ID = language.Mark("This takes two people: {reasons}. No other staff member can approve this now. An administrator can add one, or withdraw the request.")
	}
	return m
}

// Problem is the API's answer.
func (e NotTwo) Problem() *problem.Error { return problem.TwoPeople.Problem(e.Error()) }

// Querier is a pool, a connection or a transaction, of the role of the api.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Check returns nil if the two people of an act count as two now, or a [NotTwo]. Call it under
// the lease of permissions, so that nothing that it reads changes before the approval is
// published.
func (r Rule) Check(ctx context.Context, q Querier, now time.Time, act Act) error {
	known, err := r.read(ctx, q, now)
	if err != nil {
		return fmt.Errorf("checking that two people act: %w", err)
	}
	return known.check(act)
}

// A member is an enabled staff member.
type member struct {
	id, name    string
	createdAt   time.Time
	factor      bool
	permissions []string
}

// An influence is something that one staff member did to the account of another.
type influence struct {
	by, on     string // ids
	permission string // that was given; "": how the account signs in was changed
	at         time.Time
}

// known is what the record says, at one point of it.
type known struct {
	Rule
	now        time.Time
	members    []member
	influences []influence // within Age
}

// influential are the types of event that [known.add] understands.
var influential = []string{string(events.TypePermissionGranted), string(events.TypeStaffChanged), string(events.TypeSecondFactorReset)}

func (r Rule) read(ctx context.Context, q Querier, now time.Time) (k known, err error) {
	k = known{Rule: r, now: now}
	rows, err := q.Query(ctx, `SELECT s.staff_id, s.name, s.created_at, EXISTS (SELECT FROM app.staff_with_factor f WHERE f.staff_id = s.staff_id),
		array(SELECT p.permission FROM record.staff_permissions p WHERE p.staff_id = s.staff_id)
		FROM record.staff s WHERE s.disabled_at IS NULL ORDER BY lower(s.name), s.staff_id`)
	if err != nil {
		return k, err
	}
	k.members, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m member, err error) {
		return m, row.Scan(&m.id, &m.name, &m.createdAt, &m.factor, &m.permissions)
	})
	if err != nil || r.Age == 0 {
		return k, err
	}
	rows, err = q.Query(ctx, `SELECT seq, stored FROM record.events WHERE type = ANY($1) AND "time" > $2 AND projected ORDER BY seq`, influential, k.now.Add(-r.Age))
	if err != nil {
		return k, err
	}
	var seq int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error { return k.add(uint64(seq), stored) }) // #nosec G115 -- a sequence
	return k, err
}

// add reads an event of the time.
func (k *known) add(seq uint64, stored []byte) error {
	copied, err := merkle.Unpack(seq, stored)
	if err != nil {
		return err
	}
	e, err := events.Parse(copied.Header, copied.Data)
	if err != nil {
		return fmt.Errorf("event %d: %w", seq, err)
	}
	switch e.Type {
	case events.TypePermissionGranted:
		b, err := events.Decode[events.PermissionChanged](e)
		if err != nil {
			return err
		}
		k.influenced(e, e.Actor, b.StaffID, b.Permission)
		k.influenced(e, b.RequestedBy, b.StaffID, b.Permission)
	case events.TypeStaffChanged:
		b, err := events.Decode[events.StaffChanged](e)
		if err != nil {
			return err
		}
		if b.AddressChanged {
			k.influenced(e, e.Actor, b.StaffID, "")
		}
	case events.TypeSecondFactorReset:
		b, err := events.Decode[events.SecondFactor](e)
		if err != nil {
			return err
		}
		if realm, id := b.Owner(); realm == string(policy.RealmStaff) {
			k.influenced(e, e.Actor, id, "")
		}
	}
	return nil
}

func (k *known) influenced(e events.Event, actor, on, permission string) {
	if by, isStaff := staffID(actor); isStaff && by != on {
		k.influences = append(k.influences, influence{by, on, permission, e.Time})
	}
}

// staffID returns the id of a staff member who is an actor.
func staffID(actor string) (string, bool) {
	return strings.CutPrefix(actor, string(policy.RealmStaff)+":")
}

func (k known) check(act Act) error {
	second, isStaff := staffID(act.Second)
	if !isStaff && strings.HasPrefix(act.Second, "operator:") {
		return nil
	}
	faults := k.faults(act, second)
	if len(faults) == 0 {
		return nil
	}
	not := NotTwo{}
	waits := true
	for _, f := range faults {
		not.Reasons = append(not.Reasons, f.reason)
		if waits = waits && !f.until.IsZero(); f.until.After(not.Until) {
			not.Until = f.until
		}
	}
	if !waits {
		not.Until = time.Time{}
	}
	for _, m := range k.members {
		if m.id != second && len(not.Others) < 3 && len(k.faults(act, m.id)) == 0 {
			not.Others = append(not.Others, m.name)
		}
	}
	return not
}

// A fault is one reason why two people don't count as two. until is when it ends by itself;
// zero: never.
type fault struct {
	reason language.Message
	until  time.Time
}

// faults returns why the first person of an act, and the staff member second, don't count as
// two people.
func (k known) faults(act Act, second string) (faults []fault) {
	first, isStaff := staffID(act.First)
	switch {
	case isStaff && first == second:
		return []fault{never(language.Message{ID: "this is your own"})}
	case act.For != "" && act.For == second:
		return []fault{never(language.Message{ID: "it is for your own account"})}
	}
	faults = k.ofOne(act, second, nil)
	if !isStaff || act.Done {
		return append(faults, k.given(act, first, second, "the person who used it gave you the permission {permission} less than {age} ago", nil)...)
	}
	var name any = language.Message{ID: "the person who requested this"}
	if i := slices.IndexFunc(k.members, func(m member) bool { return m.id == first }); i >= 0 {
		name = k.members[i].name
	}
	faults = append(faults, k.ofOne(act, first, name)...)
	return slices.Concat(faults, k.given(act, first, second, "{name} gave you the permission {permission} less than {age} ago", name),
		k.given(act, second, first, "you gave {name} the permission {permission} less than {age} ago", name))
}

func never(reason language.Message) fault { return fault{reason, time.Time{}} }

// given returns a fault if by gave on the permission of an act; said is the text for it, with the name
// of the other person.
func (k known) given(act Act, by, on, said string, name any) (faults []fault) {
	for _, f := range k.influences {
		if f.by == by && f.on == on && f.permission == string(act.Permission) {
			faults = append(faults, fault{language.Message{ID: said, Args: k.args(act, name)}, f.at.Add(k.Age)})
		}
	}
	return faults
}

// ofOne returns what is missing of one of the two; name is nil for the reader.
func (k known) ofOne(act Act, id string, name any) (faults []fault) {
	say := func(own, others string) language.Message {
		if name == nil {
			return language.Message{ID: own, Args: k.args(act, nil)}
		}
		return language.Message{ID: others, Args: k.args(act, name)}
	}
	i := slices.IndexFunc(k.members, func(m member) bool { return m.id == id })
	if i < 0 {
		return []fault{never(say("your account is disabled", "{name}’s account is disabled"))}
	}
	m := k.members[i]
	if !slices.Contains(m.permissions, string(act.Permission)) {
		faults = append(faults, never(say("you no longer have the permission {permission}", "{name} no longer has the permission {permission}")))
	}
	if k.Factor && !m.factor {
		faults = append(faults, never(say("you have no second factor, which is set up at Account", "{name} has no second factor, which is set up at Account")))
	}
	if old := m.createdAt.Add(k.Age); k.Age > 0 && k.now.Before(old) {
		faults = append(faults, fault{say("your account is not {age} old yet", "{name}’s account is not {age} old yet"), old})
	}
	for _, f := range k.influences {
		if f.on == id && f.permission == "" {
			faults = append(faults, fault{say("another staff member changed your e-mail address or reset your second factor less than {age} ago",
				"another staff member changed {name}’s e-mail address or reset {name}’s second factor less than {age} ago"), f.at.Add(k.Age)})
		}
	}
	return faults
}

// args are the values of the texts.
func (k known) args(act Act, name any) []any {
	return []any{"name", name, "permission", act.Permission.Name(), "age", language.Message{One: "{n} day", ID: "{n} days", N: int(k.Age / (24 * time.Hour))}}
}
