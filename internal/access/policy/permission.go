package policy

import (
	"fmt"
	"slices"
	"strings"
)

// All is every permission, in the order of [Grants].
var All = func() (all []Permission) {
	for _, grant := range Grants {
		all = append(all, grant.Permission)
	}
	return all
}()

// Name is the permission's name on pages, or its value if it is not in the table.
func (p Permission) Name() string {
	for _, grant := range Grants {
		if grant.Permission == p {
			return grant.Name
		}
	}
	return string(p)
}

// TwoPeople reports whether an administrator alone can't give the permission.
func (p Permission) TwoPeople() bool {
	return slices.ContainsFunc(Grants, func(g Grant) bool { return g.Permission == p && g.TwoPeople })
}

// Names returns the names of permissions, in the order of the table.
func Names(permissions []Permission) (names []string) {
	for _, grant := range Grants {
		if slices.Contains(permissions, grant.Permission) {
			names = append(names, grant.Name)
		}
	}
	return names
}

// ParsePermission reads the value of a permission. Its error lists all of them.
func ParsePermission(s string) (Permission, error) {
	if p := Permission(s); slices.Contains(All, p) {
		return p, nil
	}
	return "", fmt.Errorf("%q is not a permission; the permissions are %s", s, Join(All))
}

// Join lists permissions by their values: "read_record, manage_staff".
func Join(permissions []Permission) string {
	values := make([]string, len(permissions))
	for i, p := range permissions {
		values[i] = string(p)
	}
	return strings.Join(values, ", ")
}

// A rule allows an action to a subject of the realm who holds one of the permissions, or
// to every subject of the realm if it names no permission.
type rule struct {
	realm Realm
	needs []Permission // the lowest first
}

// rules has a rule for each action, from [Grants] and open. An action without a rule is
// refused.
var rules = func() map[Action]rule {
	all := map[Action]rule{}
	for realm, actions := range open {
		for _, action := range actions {
			all[action] = rule{realm: realm}
		}
	}
	for _, grant := range Grants {
		for _, action := range grant.Actions {
			all[action] = rule{RealmStaff, append(all[action].needs, grant.Permission)}
		}
	}
	return all
}()

// ActionsOf lists the actions of a realm, in no particular order.
func ActionsOf(realm Realm) (all []Action) {
	for action, rule := range rules {
		if rule.realm == realm {
			all = append(all, action)
		}
	}
	return all
}

// Needs lists the permissions each of which allows one of the actions, in the order of
// [Grants]. It is empty where one of the actions needs none.
func Needs(actions ...Action) (needs []Permission) {
	for _, grant := range Grants {
		for _, action := range actions {
			if len(rules[action].needs) == 0 {
				return nil
			}
			if slices.Contains(grant.Actions, action) {
				needs = append(needs, grant.Permission)
				break
			}
		}
	}
	return needs
}

// NeedsSession reports whether each of the actions needs a session, so that an API token can do
// none of them.
func NeedsSession(actions ...Action) bool {
	return len(actions) > 0 && !slices.ContainsFunc(actions, func(a Action) bool { return !slices.Contains(bySession, a) })
}
