package audience

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// today is the day of the tests.
var today = time.Date(2026, 3, 15, 23, 59, 0, 0, time.UTC)

func dayAt(offset int) string { return today.AddDate(0, 0, offset).Format(time.DateOnly) }

// tb is what [testing.T] and [rapid.T] have in common.
type tb interface {
	rapid.TB
	Context() context.Context
	Cleanup(func())
}

func exec(t tb, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func pass(t tb, rosters *rosterstore.Store) {
	t.Helper()
	if _, err := rosters.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// eachWay runs a test on blocks that are dirty, so that their rosters are built from the tables,
// and then on stored rosters.
func eachWay(t *testing.T, pool *pgxpool.Pool, test func(t *testing.T, rosters *rosterstore.Store)) {
	rosters := rosterstoretest.New(t, pool)
	t.Run("dirty", func(t *testing.T) { test(t, rosters) })
	pass(t, rosters)
	t.Run("stored", func(t *testing.T) { test(t, rosters) })
}

// The directory for the tests of the rules. A portal user's id describes it.
const cast = `
INSERT INTO app.patients (patient_no, patient_id, status, deceased) OVERRIDING SYSTEM VALUE VALUES
    (1, 'p-active', 'active', false), (2, 'p-discharged', 'discharged', false),
    (3, 'p-dead', 'active', true), (4, 'p-dead-discharged', 'discharged', true);
INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
SELECT no, id, id, CASE WHEN id = 'unaddressed' THEN '' ELSE id || '@example.test' END, id NOT LIKE 'closed%'
FROM (VALUES (1, 'active'), (2, 'discharged'), (3, 'dead'), (4, 'widow'), (5, 'both'), (6, 'former'), (7, 'future'),
    (8, 'closed'), (9, 'unlinked'), (10, 'dead-representing'), (11, 'unaddressed'), (12, 'closed-unlinked'),
    (13, 'first-day'), (14, 'last-day'), (15, 'dead-former'), (16, 'former-future')) v (no, id);
INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_from, valid_until) VALUES
    (1, 1, 'self', NULL, NULL),
    (2, 2, 'self', NULL, NULL),
    (3, 3, 'self', NULL, NULL),
    (4, 3, 'representative', NULL, NULL),
    (5, 2, 'self', NULL, NULL), (5, 1, 'representative', '2026-01-01', '2026-12-31'),
    (6, 1, 'representative', '2020-01-01', '2026-03-14'),
    (7, 1, 'representative', '2026-03-16', NULL),
    (8, 1, 'self', NULL, NULL),
    (10, 3, 'self', NULL, NULL), (10, 1, 'representative', NULL, NULL),
    (11, 1, 'self', NULL, NULL), (11, 1, 'representative', NULL, NULL),
    (13, 1, 'self', '2026-03-15', NULL),
    (14, 1, 'self', NULL, '2026-03-15'),
    (15, 3, 'self', NULL, '2026-01-01'),
    (16, 1, 'self', '2030-01-01', NULL), (16, 1, 'representative', NULL, '2026-01-01');
`

func TestAudienceMembersAndReasons(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, cast)
	eachWay(t, pool, func(t *testing.T, rosters *rosterstore.Store) { membersAndReasons(t, pool, rosters) })
}

func membersAndReasons(t *testing.T, pool *pgxpool.Pool, rosters *rosterstore.Store) {
	for _, c := range []struct {
		selection                    Selection
		in                           string
		included, excluded, warnings map[string]int
	}{{
		Selection{Groups: []Group{ActivePatients}},
		"active both dead-representing unaddressed first-day last-day",
		map[string]int{"active_patient": 6},
		map[string]int{"deceased": 3, "link_ended": 2, "link_not_begun": 1, "account_inactive": 1},
		map[string]int{"no_address": 1},
	}, {
		Selection{Groups: []Group{DischargedPatients}},
		"discharged widow both",
		map[string]int{"discharged_patient": 3},
		map[string]int{},
		map[string]int{},
	}, {
		Selection{Groups: []Group{AllPortalUsers}},
		"active discharged widow both former future unlinked dead-representing unaddressed first-day last-day dead-former former-future",
		map[string]int{"any_portal_user": 13},
		map[string]int{"deceased": 1, "account_inactive": 2},
		map[string]int{"no_address": 1},
	}, {
		Selection{Groups: []Group{AllPortalUsers, DischargedPatients, ActivePatients}, PortalUserIDs: []string{"widow", "dead"}},
		"active discharged dead widow both former future unlinked dead-representing unaddressed first-day last-day dead-former former-future",
		map[string]int{"added": 2, "active_patient": 6, "discharged_patient": 1, "any_portal_user": 5},
		map[string]int{"account_inactive": 2},
		map[string]int{"no_address": 1},
	}, {
		Selection{PortalUserIDs: []string{"unlinked", "closed", "active", "closed"}},
		"active closed unlinked",
		map[string]int{"added": 3}, map[string]int{}, map[string]int{"account_inactive": 1},
	}, {
		Selection{},
		"",
		map[string]int{}, map[string]int{}, map[string]int{},
	}} {
		t.Run(fmt.Sprint(c.selection), func(t *testing.T) {
			recipients, frozen := freeze(t, rosters, c.selection)
			got := idsOf(recipients)
			if diff := gocmp.Diff(strings.Fields(c.in), got); diff != "" {
				t.Errorf("audience (-want +got):\n%s", diff)
			}
			counts, err := Preview(t.Context(), pool, c.selection, today)
			if err != nil {
				t.Fatal(err)
			}
			want := Counts{len(got), plainDigest(recipients, c.selection), c.included, c.excluded, c.warnings}
			if diff := gocmp.Diff(want, counts); diff != "" {
				t.Errorf("preview (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(c.included, frozen.Included) + gocmp.Diff(c.excluded, frozen.Excluded); diff != "" {
				t.Errorf("frozen (-want +got):\n%s", diff)
			}
			for limit := range 4 {
				listed, reasons := paged(t, pool, c.selection, limit+1)
				if diff := gocmp.Diff(got, listed); diff != "" {
					t.Errorf("pages of %d (-want +got):\n%s", limit+1, diff)
				}
				if diff := gocmp.Diff(c.included, reasons); diff != "" {
					t.Errorf("reasons on pages of %d (-want +got):\n%s", limit+1, diff)
				}
			}
			exists, err := Exists(t.Context(), pool, c.selection, today)
			if exists != (len(got) > 0) || err != nil {
				t.Errorf("exists: %v, %v", exists, err)
			}
		})
	}
}

// paged reads all pages of an audience.
func paged(t *testing.T, pool *pgxpool.Pool, sel Selection, limit int) (ids []string, reasons map[string]int) {
	t.Helper()
	ids, reasons = []string{}, map[string]int{}
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := Page(t.Context(), pool, sel, today, limit, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit || next != "" && len(page) == 0 {
			t.Fatalf("a page of %d has %d members, and the next cursor is %q", limit, len(page), next)
		}
		for _, m := range page {
			ids = append(ids, m.ID)
			reasons[string(m.Reason)]++
		}
		cursor = next
	}
	return ids, reasons
}

// A delivery is read under the links that were in force when it was made. A recipient
// added by id has them too, and both relationships to one patient count.
func TestARecipientHasEveryLinkInForce(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, cast)
	want := map[string][]Tie{
		"both":              {{No: 1, ID: "p-active", Relationship: directory.Representative}, {No: 2, ID: "p-discharged", Relationship: directory.Self}},
		"former":            {},
		"closed":            {{No: 1, ID: "p-active", Relationship: directory.Self}},
		"dead-representing": {{No: 1, ID: "p-active", Relationship: directory.Representative}, {No: 3, ID: "p-dead", Relationship: directory.Self}},
		"unaddressed":       {{No: 1, ID: "p-active", Relationship: directory.Representative}, {No: 1, ID: "p-active", Relationship: directory.Self}},
	}
	rosters := rosterstoretest.New(t, pool)
	for _, groups := range [][]Group{nil, {DischargedPatients}} {
		added := slices.Sorted(maps.Keys(want))
		got := map[string][]Tie{}
		recipients, _ := freeze(t, rosters, Selection{PortalUserIDs: added, Groups: groups})
		for _, r := range recipients {
			if slices.Contains(added, r.ID) {
				got[r.ID] = r.Patients
			}
		}
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("with groups %v (-want +got):\n%s", groups, diff)
		}
	}
}

func TestUnknownPortalUsersAreListed(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, cast)
	ids := []string{"missing-1", "active", "missing-2", "missing-1"}
	unknown, err := directory.CheckIDs(t.Context(), pool, ids)
	if diff := gocmp.Diff([]string{"missing-1", "missing-2"}, unknown); diff != "" || err != nil {
		t.Errorf("CheckIDs: %v (-want +got):\n%s", err, diff)
	}
	for _, groups := range [][]Group{nil, {AllPortalUsers}} {
		sel := Selection{PortalUserIDs: ids, Groups: groups}
		_, previewed := Preview(t.Context(), pool, sel, today)
		_, existed := Exists(t.Context(), pool, sel, today)
		_, frozen := Freeze(t.Context(), rosterstoretest.New(t, pool), sel, today)
		for _, err := range []error{previewed, existed, frozen} {
			var named *UnknownPortalUsers
			if !errors.As(err, &named) || !slices.Equal(named.IDs, unknown) || !strings.Contains(err.Error(), "missing-1, missing-2:") {
				t.Errorf("with groups %v: %v", groups, err)
			}
		}
	}
}

func TestAnUnknownGroupIsRefused(t *testing.T) {
	_, err := Preview(t.Context(), storetest.Pool(t, store.RoleAdmin), Selection{Groups: []Group{"everyone"}}, today)
	if err == nil || !strings.Contains(err.Error(), `unknown group "everyone": choose active_patients, discharged_patients or all_portal_users`) {
		t.Error(err)
	}
}

// freeze freezes an audience and reads its recipients.
func freeze(t tb, rosters *rosterstore.Store, sel Selection) (recipients []Recipient, frozen *Audience) {
	t.Helper()
	frozen, err := Freeze(t.Context(), rosters, sel, today)
	if err != nil {
		t.Fatal(err)
	}
	recipients = recipientsOf(t, rosters.Pool, frozen)
	if frozen.Count() != len(recipients) {
		t.Fatalf("it counts %d recipients of %d", frozen.Count(), len(recipients))
	}
	return recipients, frozen
}

// recipientsOf reads the recipients from the rosters that an audience cites.
func recipientsOf(t tb, pool *pgxpool.Pool, frozen *Audience) []Recipient {
	t.Helper()
	recipients, roots := slices.Clone(frozen.Chosen), []roster.Digest{}
	for _, b := range frozen.Blocks {
		if b.Root != (roster.Digest{}) {
			roots = append(roots, b.Root)
		}
	}
	next := 0
	if err := cited.Each(t.Context(), pool, roots, func(r *roster.Roster) error {
		members := &frozen.Blocks[next].Members
		next++
		return r.Visit(func(p *roster.Person) bool {
			if _, place := block.Of(p.No); members.Has(place) {
				recipients = append(recipients, Recipient{No: p.No, ID: p.ID, Patients: rule.InForce(p, frozen.Day)})
			}
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
	return recipients
}

func idsOf(recipients []Recipient) []string {
	ids := []string{}
	for _, r := range recipients {
		ids = append(ids, r.ID)
	}
	return ids
}

// plainDigest computes the digest from its definition.
func plainDigest(recipients []Recipient, sel Selection) string {
	members := map[block.No]*block.Members{}
	for _, r := range recipients {
		no, place := block.Of(r.No)
		if members[no] == nil {
			members[no] = &block.Members{}
		}
		members[no].Add(place)
	}
	text := ""
	for _, no := range slices.Sorted(maps.Keys(members)) {
		stored := members[no].AppendTo(nil)
		text += fmt.Sprintf("%08x%02x%x", int32(no), len(stored), stored)
	}
	about := ""
	for _, r := range recipients {
		if concerned := concernedBy(r, sel); len(concerned) > 0 {
			about += fmt.Sprintf("%08x", r.No)
			for _, id := range concerned {
				about += fmt.Sprintf("%02x%x", len(id), id)
			}
			about += "00"
		}
	}
	if about != "" {
		text += "ffffffff" + about
	}
	raw, _ := hex.DecodeString(text)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
}

// concernedBy returns the patients whom the message to a chosen recipient concerns, sorted: those
// who were picked, or the only one.
func concernedBy(r Recipient, sel Selection) (ids []string) {
	if !slices.Contains(sel.PortalUserIDs, r.ID) {
		return nil
	}
	for _, t := range r.Patients {
		ids = append(ids, t.ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	picked := slices.Sorted(slices.Values(sel.Picked(r.ID)))
	switch {
	case len(picked) > 0:
		return picked
	case len(ids) == 1:
		return ids
	}
	return nil
}

// The following tests compare the fast implementation with a plain model of the rules,
// worded like the design, over random directories.

type modelLink struct {
	User, Patient int
	Self          bool
	From, Until   *int // days from today
}

type model struct {
	Discharged, Deceased []bool // by patient
	Active, Addressed    []bool // by portal user
	Links                []modelLink
	UserNos, PatientNos  []int32 // ascending, with gaps
}

func drawModel(t *rapid.T) model {
	bools := func(label string, n int) []bool { return rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, label) }
	nos := func(label string, n int) []int32 {
		near := rapid.Int32Range(1, 20)
		const numbersAtOnce, patientPageSize = 1 << 13, 1 << 12 // window and pageSize of package people
		windows := rapid.SampledFrom([]int32{numbersAtOnce - 1, numbersAtOnce, numbersAtOnce + 1, 2 * numbersAtOnce, 5*numbersAtOnce + 7, patientPageSize, math.MaxInt32 - 1, math.MaxInt32})
		return slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.OneOf(near, windows), n, n, rapid.ID).Draw(t, label)))
	}
	patients, users := rapid.IntRange(0, 5).Draw(t, "patients"), rapid.IntRange(0, 8).Draw(t, "users")
	m := model{
		bools("discharged", patients), bools("deceased", patients), bools("active", users), bools("addressed", users),
		nil, nos("portal user numbers", users), nos("patient numbers", patients),
	}
	day := rapid.Ptr(rapid.IntRange(-1, 1), true)
	for user := range users {
		for patient := range patients {
			for _, self := range []bool{false, true} {
				if rapid.IntRange(0, 3).Draw(t, "linked") > 0 {
					continue
				}
				l := modelLink{user, patient, self, day.Draw(t, "from"), day.Draw(t, "until")}
				if l.From != nil && l.Until != nil && *l.From > *l.Until {
					l.From, l.Until = l.Until, l.From
				}
				m.Links = append(m.Links, l)
			}
		}
	}
	return m
}

func userID(i int) string    { return fmt.Sprintf("pu-%d", 9-i) } // against the order of the numbers
func patientID(i int) string { return fmt.Sprintf("pt-%d", i) }

// store replaces the directory by the model.
func (m model) store(t tb, pool *pgxpool.Pool) {
	exec(t, pool, `TRUNCATE app.links, app.patients, app.portal_users CASCADE`)
	for i, no := range m.PatientNos {
		exec(t, pool, `INSERT INTO app.patients (patient_no, patient_id, status, deceased) OVERRIDING SYSTEM VALUE
			VALUES ($1, $2, CASE WHEN $3 THEN 'discharged' ELSE 'active' END, $4)`, no, patientID(i), m.Discharged[i], m.Deceased[i])
	}
	for i, no := range m.UserNos {
		exec(t, pool, `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
			VALUES ($1, $2, '', CASE WHEN $3 THEN 'a@example.test' ELSE '' END, $4)`, no, userID(i), m.Addressed[i], m.Active[i])
	}
	m.storeLinks(t, pool)
}

func (m model) storeLinks(t tb, pool *pgxpool.Pool) {
	for _, l := range m.Links {
		exec(t, pool, `INSERT INTO app.links VALUES ($1, $2, $3::date + $4::int, $3::date + $5::int, CASE WHEN $6 THEN 'self' ELSE 'representative' END)`,
			m.UserNos[l.User], m.PatientNos[l.Patient], dayAt(0), l.From, l.Until, l.Self)
	}
}

func (l modelLink) inForce() bool {
	return (l.From == nil || *l.From <= 0) && (l.Until == nil || *l.Until >= 0)
}

// in reports whether an active portal user belongs to a group through the given links.
func (m model) in(g Group, links []modelLink) bool {
	alive := slices.ContainsFunc(links, func(l modelLink) bool { return !l.Self || !m.Deceased[l.Patient] })
	if g == AllPortalUsers {
		return alive || len(links) == 0
	}
	return slices.ContainsFunc(links, func(l modelLink) bool {
		if m.Deceased[l.Patient] {
			return !l.Self && g == DischargedPatients
		}
		return m.Discharged[l.Patient] == (g == DischargedPatients)
	})
}

func (m model) linksOf(user int, which func(modelLink) bool) []modelLink {
	var of []modelLink
	for _, l := range m.Links {
		if l.User == user && which(l) {
			of = append(of, l)
		}
	}
	return of
}

func every(modelLink) bool { return true }

func (m model) included(user int, sel Selection) Reason {
	if slices.Contains(sel.PortalUserIDs, userID(user)) {
		return Added
	}
	for _, c := range []struct {
		group  Group
		reason Reason
	}{{ActivePatients, ActivePatient}, {DischargedPatients, DischargedPatient}, {AllPortalUsers, AnyPortalUser}} {
		if slices.Contains(sel.Groups, c.group) && m.Active[user] && m.in(c.group, m.linksOf(user, modelLink.inForce)) {
			return c.reason
		}
	}
	return ""
}

// excluded finds the reason for exclusion by removing one obstacle after the other, for
// each link separately. The first reason over all links counts.
func (m model) excluded(user int, sel Selection) Reason {
	undead := m
	undead.Deceased = make([]bool, len(m.Deceased))
	order := []Reason{AccountInactive, Deceased, LinkEnded, LinkNotBegun, ""}
	best := len(order) - 1
	note := func(r Reason) { best = min(best, slices.Index(order, r)) }
	for _, g := range sel.Groups {
		if g == AllPortalUsers {
			note(Deceased) // an active portal user not in the group has only such links
			continue
		}
		for _, l := range m.linksOf(user, every) {
			one := []modelLink{l}
			switch {
			case m.chosen(sel, one) && l.Until != nil && *l.Until < 0:
				note(LinkEnded)
			case m.chosen(sel, one) && !l.inForce():
				note(LinkNotBegun)
			case m.chosen(sel, one):
				note(AccountInactive)
			case undead.chosen(sel, one):
				note(Deceased)
			}
		}
	}
	if order[best] != "" && !m.Active[user] {
		return AccountInactive
	}
	return order[best]
}

func (m model) chosen(sel Selection, links []modelLink) bool {
	return slices.ContainsFunc(sel.Groups, func(g Group) bool { return m.in(g, links) })
}

func (m model) audience(sel Selection) (recipients []Recipient, counts Counts) {
	counts = Counts{Included: map[string]int{}, Excluded: map[string]int{}, Warnings: map[string]int{}}
	for user := range m.Active {
		reason := m.included(user, sel)
		if reason == "" {
			if out := m.excluded(user, sel); out != "" {
				counts.Excluded[string(out)]++
			}
			continue
		}
		counts.Included[string(reason)]++
		if !m.Active[user] {
			counts.Warnings["account_inactive"]++
		}
		if !m.Addressed[user] {
			counts.Warnings["no_address"]++
		}
		r := Recipient{No: m.UserNos[user], ID: userID(user)}
		for _, l := range m.linksOf(user, modelLink.inForce) {
			r.Patients = append(r.Patients, Tie{No: m.PatientNos[l.Patient], ID: patientID(l.Patient), Relationship: relationship(l.Self)})
		}
		recipients = append(recipients, r)
	}
	counts.Count, counts.Digest = len(recipients), plainDigest(recipients, sel)
	return recipients, counts
}

func relationship(self bool) string {
	if self {
		return directory.Self
	}
	return directory.Representative
}

// change brings a directory that was stored as an earlier model to a later one, which differs in
// what is said of the people.
func (m model) change(t tb, pool *pgxpool.Pool) {
	for i, no := range m.PatientNos {
		exec(t, pool, `UPDATE app.patients SET status = CASE WHEN $2 THEN 'discharged' ELSE 'active' END, deceased = $3 WHERE patient_no = $1`,
			no, m.Discharged[i], m.Deceased[i])
	}
	for i, no := range m.UserNos {
		exec(t, pool, `UPDATE app.portal_users SET email = CASE WHEN $2 THEN 'a@example.test' ELSE '' END, active = $3 WHERE portal_user_no = $1`,
			no, m.Addressed[i], m.Active[i])
	}
	exec(t, pool, `DELETE FROM app.links`)
	m.storeLinks(t, pool)
}

// earlier draws a directory from which the model may have come.
func (m model) earlier(t *rapid.T) model {
	flipped := func(now []bool) (before []bool) {
		for _, b := range now {
			before = append(before, b != (rapid.IntRange(0, 3).Draw(t, "changed") == 0))
		}
		return before
	}
	before := m
	before.Discharged, before.Deceased, before.Active, before.Addressed = flipped(m.Discharged), flipped(m.Deceased), flipped(m.Active), flipped(m.Addressed)
	before.Links = slices.DeleteFunc(slices.Clone(m.Links), func(modelLink) bool { return rapid.IntRange(0, 3).Draw(t, "new link") == 0 })
	return before
}

// The audience is what the plain rules give: on blocks that are dirty, on stored rosters, and
// where some of the blocks have changed since their rosters were stored.
func TestAudienceAndPreviewFollowTheRules(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	rosters := rosterstoretest.New(t, pool)
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		sel := Selection{Groups: rapid.SliceOfDistinct(rapid.SampledFrom([]Group{ActivePatients, DischargedPatients, AllPortalUsers}), rapid.ID).Draw(t, "groups")}
		for user := range m.Active {
			if rapid.IntRange(0, 4).Draw(t, "added") == 0 {
				sel.PortalUserIDs = append(sel.PortalUserIDs, userID(user))
				if links := m.linksOf(user, modelLink.inForce); len(links) > 0 && rapid.Bool().Draw(t, "picked") {
					sel.About = append(sel.About, About{userID(user), []string{patientID(links[0].Patient)}})
				}
			}
		}
		switch rapid.SampledFrom([]string{"dirty", "stored", "changed since"}).Draw(t, "rosters are") {
		case "dirty":
			m.store(t, pool)
		case "stored":
			m.store(t, pool)
			pass(t, rosters)
		default:
			m.earlier(t).store(t, pool)
			pass(t, rosters)
			m.change(t, pool)
		}
		m.compare(t, rosters, sel)
	})
}

// compare compares what the package says of a selection with the model.
func (m model) compare(t *rapid.T, rosters *rosterstore.Store, sel Selection) {
	pool := rosters.Pool
	want, wantCounts := m.audience(sel)
	got, frozen := freeze(t, rosters, sel)
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()) + gocmp.Diff(wantCounts.Included, frozen.Included) + gocmp.Diff(wantCounts.Excluded, frozen.Excluded); diff != "" {
		t.Fatalf("audience of %v (-want +got):\n%s", sel, diff)
	}
	for _, b := range frozen.Blocks {
		if (b.Root == roster.Digest{}) != (len(sel.Groups) == 0) {
			t.Fatalf("block %d has the root %s", b.No, b.Root)
		}
		for place := range b.Members.All() {
			user := slices.Index(m.UserNos, b.No.At(place))
			if byRule := m.included(user, Selection{Groups: sel.Groups}); b.ByID.Has(place) != (byRule == "") {
				t.Fatalf("%s is included by id alone: %t, by the rule: %q", userID(user), b.ByID.Has(place), byRule)
			}
		}
	}
	counts, err := Preview(t.Context(), pool, sel, today)
	if diff := gocmp.Diff(wantCounts, counts); diff != "" || err != nil {
		t.Fatalf("preview of %v: %v (-want +got):\n%s", sel, err, diff)
	}
	inEach, err := Sizes(t.Context(), pool, today)
	if err != nil {
		t.Fatal(err)
	}
	for group, n := range inEach {
		if want, _ := m.audience(Selection{Groups: []Group{group}}); n != len(want) {
			t.Fatalf("%d are in %s, want %d", n, group, len(want))
		}
	}
	if exists, err := Exists(t.Context(), pool, sel, today); err != nil || exists != (len(want) > 0) {
		t.Fatalf("exists: %v, %v", exists, err)
	}
}

// Where most of a large directory is dirty, it is read in one scan over two connections. The
// result is the same as on stored rosters, even if the numbers have gaps as wide as a window.
func TestAScanGivesTheSame(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, `
		INSERT INTO app.patients (patient_no, patient_id, status, deceased) OVERRIDING SYSTEM VALUE
		SELECT i, 'pt-' || i, CASE i % 3 WHEN 0 THEN 'discharged' ELSE 'active' END, i % 7 = 0 FROM generate_series(1, 400) i;
		INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT i * 1000 + CASE WHEN i > 200 THEN 300000 ELSE 0 END, 'pu-' || i, 'N', '', i % 11 <> 0 FROM generate_series(1, 400) i;
		INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT portal_user_no, 1 + (portal_user_no / 1000) % 400, 'representative' FROM app.portal_users`)
	rosters := rosterstoretest.New(t, pool)
	sel := Selection{Groups: []Group{ActivePatients, AllPortalUsers}}
	scanned, frozen := freeze(t, rosters, sel)
	pass(t, rosters)
	stored, again := freeze(t, rosters, sel)
	if diff := gocmp.Diff(scanned, stored); diff != "" || len(stored) < 300 {
		t.Errorf("of %d (-scanned +stored):\n%s", len(stored), diff)
	}
	if diff := gocmp.Diff(frozen, again, gocmp.AllowUnexported(Audience{}), gocmp.Comparer(func(a, b block.Members) bool { return a == b })); diff != "" {
		t.Errorf("the rosters have other roots (-scanned +stored):\n%s", diff)
	}
}

// A page is filled however few the members are, and only the last page has no cursor.
func TestPagesOfAnAudienceWithFewMembers(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, `
		INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, active) OVERRIDING SYSTEM VALUE
		SELECT n, 'pu-' || n, 'x', n % 6000 = 0 FROM generate_series(1, 30000) n;
		INSERT INTO app.patients (patient_no, patient_id, status, deceased) OVERRIDING SYSTEM VALUE
		SELECT n, 'pt-' || n, CASE WHEN n % 12000 = 0 THEN 'discharged' ELSE 'active' END, n % 18000 = 0 FROM generate_series(6000, 30000, 6000) n;
		INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT patient_no, patient_no, 'representative' FROM app.patients`)
	for _, c := range []struct {
		sel  Selection
		want string
	}{
		{Selection{Groups: []Group{ActivePatients}}, "pu-6000 pu-30000"},
		{Selection{Groups: []Group{DischargedPatients}, PortalUserIDs: []string{"pu-29000", "pu-1"}}, "pu-1 pu-12000 pu-18000 pu-24000 pu-29000"},
		{Selection{Groups: []Group{ActivePatients, DischargedPatients}}, "pu-6000 pu-12000 pu-18000 pu-24000 pu-30000"},
		{Selection{Groups: []Group{AllPortalUsers}}, "pu-6000 pu-12000 pu-18000 pu-24000 pu-30000"},
	} {
		var listed []string
		pages := 0
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := Page(t.Context(), pool, c.sel, today, 2, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				listed = append(listed, m.ID)
			}
			if cursor = next; cursor != "" && len(page) != 2 {
				t.Errorf("a page before the last has %d members", len(page))
			}
			if pages++; pages > 20 {
				t.Fatal("the pages do not end")
			}
		}
		if got := strings.Join(listed, " "); got != c.want {
			t.Errorf("%v: got %s, want %s", c.sel, got, c.want)
		}
	}
}

// Those who opted out of alerts are recipients, and the preview says how many of them get no e-mail.
// Who gets none for another reason is counted under that alone.
func TestPreviewCountsWhoOptedOut(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	for _, sql := range []string{
		`INSERT INTO app.portal_users (portal_user_id, name, email, active) SELECT 'pu-' || n, 'P', CASE WHEN n = 3 THEN '' ELSE 'a@x.test' END, n <> 4 FROM generate_series(1, 600) n`,
		`INSERT INTO record.alert_opt_outs SELECT n, 'portal', now() FROM unnest(ARRAY[2, 3, 4, 251, 600]) n`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		sel  Selection
		want map[string]int
	}{
		{Selection{Groups: []Group{AllPortalUsers}}, map[string]int{"opted_out": 3, "no_address": 1}},
		{Selection{PortalUserIDs: []string{"pu-1", "pu-2", "pu-3", "pu-4", "pu-600"}}, map[string]int{"opted_out": 2, "no_address": 1, "account_inactive": 1}},
		{Selection{PortalUserIDs: []string{"pu-1"}}, map[string]int{}},
	} {
		counts, err := Preview(t.Context(), pool, c.sel, today)
		if diff := gocmp.Diff(c.want, counts.Warnings); diff != "" || err != nil {
			t.Errorf("%v: %v (-want +got):\n%s", c.sel, err, diff)
		}
	}
}

// What a message to chosen portal users concerns, and which picks are wrong.
func TestResolve(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, cast)
	patients := func(portalUser string) (ids []string) {
		found, err := directory.PortalUserByID(t.Context(), pool, portalUser)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found.Patients {
			ids = append(ids, p.ID)
		}
		return ids
	}
	one, two, ended := patients("active")[0], patients("both"), patients("former")[0]
	got, err := Resolve(t.Context(), pool, Selection{PortalUserIDs: []string{"active", "both", "former", "unlinked"}}, today)
	want := Matters{Of: map[string][]string{"active": {one}}, Unclear: []string{"both"}}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("nothing picked: %v (-want +got):\n%s", err, diff)
	}
	got, err = Resolve(t.Context(), pool, Selection{PortalUserIDs: []string{"both", "former", "unlinked"},
		About: []About{{"both", two[:1]}, {"former", []string{ended}}, {"unlinked", []string{"no-such-patient"}}}}, today)
	want = Matters{Of: map[string][]string{"both": two[:1], "former": {ended}, "unlinked": {"no-such-patient"}},
		NotLinked: []Link{{"former", ended}, {"unlinked", "no-such-patient"}}}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("picked: %v (-want +got):\n%s", err, diff)
	}
	members, _, err := Page(t.Context(), pool, Selection{Groups: []Group{DischargedPatients}, PortalUserIDs: []string{"active"}}, today, 50, "")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]matter.Matter{}
	for _, m := range members {
		of[m.ID] = m.Matter
	}
	if of["active"].Basis != matter.Picked || of["both"].Basis != matter.ByGroup || len(of["both"].IDs()) != 1 {
		t.Errorf("a page of an audience: %+v", of)
	}
}
