package twopeople

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/access/policy"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// ago is a time some days before now.
func ago(days int) time.Time { return now.Add(-Days(days)) }

const (
	ann, ben, cleo = "ann", "ben", "cleo"
	erase          = string(policy.EraseMessageContent)
)

// clinic has three people who count.
func clinic() known {
	k := known{Rule: Rule{Age: Days(7), Factor: true}, now: now}
	for _, id := range []string{ann, ben, cleo} {
		k.members = append(k.members, member{id, strings.ToUpper(id[:1]) + id[1:], ago(30), true, []string{erase}})
	}
	return k
}

// act is an erasure that ann requests and ben approves.
var act = Act{Permission: policy.EraseMessageContent, First: "staff:" + ann, Second: "staff:" + ben}

// Each condition is missing once: the refusal says which, until when, and who else could.
func TestTheConditions(t *testing.T) {
	t.Parallel()
	if err := clinic().check(act); err != nil {
		t.Fatalf("with every condition: %v", err)
	}
	for name, test := range map[string]struct {
		change func(*known)
		act    func(*Act)
		says   string // "": it is allowed
		until  time.Time
		others bool
	}{
		"one's own":                      {nil, func(a *Act) { a.Second = a.First }, "this is your own", time.Time{}, true},
		"for the approver":               {nil, func(a *Act) { a.For = ben }, "for your own account", time.Time{}, true},
		"for the requester":              {nil, func(a *Act) { a.For = ann }, "", time.Time{}, false},
		"a young approver":               {func(k *known) { k.members[1].createdAt = ago(6) }, nil, "your account is not 7 days old yet", ago(-1), true},
		"a young requester":              {func(k *known) { k.members[0].createdAt = ago(6) }, nil, "Ann’s account is not 7 days old yet", ago(-1), false},
		"just old enough":                {func(k *known) { k.members[1].createdAt = ago(7) }, nil, "", time.Time{}, false},
		"no second factor":               {func(k *known) { k.members[1].factor = false }, nil, "you have no second factor", time.Time{}, true},
		"a requester without":            {func(k *known) { k.members[0].factor = false }, nil, "Ann has no second factor", time.Time{}, false},
		"given by the requester":         {func(k *known) { k.influences = []influence{{ann, ben, erase, ago(3)}} }, nil, "Ann gave you the permission Erase Content", ago(-4), true},
		"given to the requester":         {func(k *known) { k.influences = []influence{{ben, ann, erase, ago(3)}} }, nil, "you gave Ann the permission Erase Content", ago(-4), true},
		"given by a third person":        {func(k *known) { k.influences = []influence{{cleo, ben, erase, ago(3)}} }, nil, "", time.Time{}, false},
		"another permission":             {func(k *known) { k.influences = []influence{{ann, ben, "manage_labels", ago(3)}} }, nil, "", time.Time{}, false},
		"the approver's sign-in":         {func(k *known) { k.influences = []influence{{ann, ben, "", ago(3)}} }, nil, "changed your e-mail address or reset your second factor", ago(-4), true},
		"their sign-in, by a third":      {func(k *known) { k.influences = []influence{{cleo, ben, "", ago(3)}} }, nil, "changed your e-mail address", ago(-4), true},
		"the requester's sign-in":        {func(k *known) { k.influences = []influence{{cleo, ann, "", ago(3)}} }, nil, "changed Ann’s e-mail address", ago(-4), false},
		"the requester lost it":          {func(k *known) { k.members[0].permissions = nil }, nil, "Ann no longer has the permission", time.Time{}, false},
		"the approver lost it":           {func(k *known) { k.members[1].permissions = nil }, nil, "you no longer have the permission", time.Time{}, true},
		"the requester is disabled":      {func(k *known) { k.members = k.members[1:] }, nil, "the person who requested this’s account is disabled", time.Time{}, false},
		"two conditions, one for ever":   {func(k *known) { k.members[1].createdAt, k.members[1].factor = ago(6), false }, nil, "you have no second factor", time.Time{}, true},
		"an operator approves":           {func(k *known) { k.members = nil }, func(a *Act) { a.Second = "operator:root" }, "", time.Time{}, false},
		"an operator requested":          {nil, func(a *Act) { a.First = "operator:root" }, "", time.Time{}, false},
		"an operator, a young approver":  {func(k *known) { k.members[1].createdAt = ago(6) }, func(a *Act) { a.First = "operator:root" }, "your account is not 7 days old yet", ago(-1), true},
		"ages off: a young one":          {func(k *known) { k.Age, k.members[1].createdAt = 0, now }, nil, "", time.Time{}, false},
		"ages off: one's own":            {func(k *known) { k.Age = 0 }, func(a *Act) { a.Second = a.First }, "this is your own", time.Time{}, true},
		"ages off: no factor":            {func(k *known) { k.Age, k.members[1].factor = 0, false }, nil, "you have no second factor", time.Time{}, true},
		"the clinic asks for no factor":  {func(k *known) { k.Factor, k.members[1].factor = false, false }, nil, "", time.Time{}, false},
		"a review: a young user":         {func(k *known) { k.members[0].createdAt = ago(1) }, func(a *Act) { a.Done = true }, "", time.Time{}, false},
		"a review: a disabled user":      {func(k *known) { k.members = k.members[1:] }, func(a *Act) { a.Done = true }, "", time.Time{}, false},
		"a review: a young reviewer":     {func(k *known) { k.members[1].createdAt = ago(6) }, func(a *Act) { a.Done = true }, "your account is not 7 days old yet", ago(-1), true},
		"a review: given by the user":    {func(k *known) { k.influences = []influence{{ann, ben, erase, ago(3)}} }, func(a *Act) { a.Done = true }, "the person who used it gave you", ago(-4), true},
		"a process":                      {nil, func(a *Act) { a.Second = "process:api" }, "account is disabled", time.Time{}, true},
		"nobody":                         {nil, func(a *Act) { a.Second = "" }, "account is disabled", time.Time{}, true},
		"a portal user of the same name": {nil, func(a *Act) { a.Second = "portal_user:" + ben }, "account is disabled", time.Time{}, true},
	} {
		k, a := clinic(), act
		if test.change != nil {
			test.change(&k)
		}
		if test.act != nil {
			test.act(&a)
		}
		err := k.check(a)
		var not NotTwo
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.says == "":
		case !errors.As(err, &not) || !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: %v, want %q", name, err, test.says)
		case !not.Until.Equal(test.until), len(not.Others) > 0 != test.others:
			t.Errorf("%s: until %v (want %v), others %v", name, not.Until, test.until, not.Others)
		}
	}
}

// Who requests and who approves may be exchanged: two people are two people. A person named as
// another who could approve can, and a person alone never counts as two.
func TestTwoPeopleAreTwoEitherWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := known{Rule: Rule{Age: Days(rapid.IntRange(0, 9).Draw(t, "age")), Factor: rapid.Bool().Draw(t, "factor")}, now: now}
		ids := []string{ann, ben, cleo, "dora"}
		for _, id := range ids {
			m := member{id: id, name: id, createdAt: ago(rapid.IntRange(0, 12).Draw(t, "created")), factor: rapid.Bool().Draw(t, "has")}
			if rapid.IntRange(0, 4).Draw(t, "holds") > 0 {
				m.permissions = []string{erase}
			}
			k.members = append(k.members, m)
		}
		for range rapid.IntRange(0, 3).Draw(t, "influences") {
			i := influence{by: rapid.SampledFrom(ids).Draw(t, "by"), on: rapid.SampledFrom(ids).Draw(t, "on"), at: ago(rapid.IntRange(0, 8).Draw(t, "at")),
				permission: rapid.SampledFrom([]string{"", erase, "manage_labels"}).Draw(t, "what")}
			if i.by != i.on && k.now.Sub(i.at) < k.Age {
				k.influences = append(k.influences, i)
			}
		}
		allowed := func(first, second string) error {
			return k.check(Act{Permission: policy.EraseMessageContent, First: "staff:" + first, Second: "staff:" + second})
		}
		for _, a := range ids {
			if allowed(a, a) == nil {
				t.Fatalf("%s counts as two", a)
			}
			for _, b := range ids {
				there, back := allowed(a, b), allowed(b, a)
				if (there == nil) != (back == nil) {
					t.Fatalf("%s and %s: %v, the other way %v", a, b, there, back)
				}
				if not := (NotTwo{}); errors.As(there, &not) {
					for _, other := range not.Others {
						if err := allowed(a, other); err != nil {
							t.Fatalf("%s is named: %v", other, err)
						}
					}
				}
			}
		}
	})
}
