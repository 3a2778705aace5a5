// Package groups maps the groups of the clinic's own identity provider to permissions.
//
//	mapping, err := groups.Parse("nurses=send_portal_message;front desk=import_directory,manage_labels")
//	permissions := mapping.Permissions([]string{"nurses", "staff"}) // send_portal_message
//
// The package does no I/O.
package groups

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/access/policy"
)

// A Mapping has the permissions that each group gives. The empty Mapping gives none.
type Mapping map[string][]policy.Permission

// byHand reports whether no group gives a permission. What takes two people takes two people here,
// and the administrator of the identity provider is one. With manage_staff they could give
// themselves any other permission.
func byHand(p policy.Permission) bool { return p.TwoPeople() || p == policy.ManageStaff }

// Parse reads a mapping as "group=permission,permission;group=permission". Groups are compared
// letter by letter. A name may contain any character except a semicolon; the last "=" ends
// it, so it may be a distinguished name. Parse returns all faults, joined.
func Parse(text string) (Mapping, error) {
	m := Mapping{}
	var faults []error
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		group, permissions, err := parsePart(part)
		if _, twice := m[group]; twice {
			err = errors.Join(err, fmt.Errorf("the group %q is there twice", group))
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		m[group] = permissions
	}
	return m, errors.Join(faults...)
}

func parsePart(part string) (group string, permissions []policy.Permission, err error) {
	end := strings.LastIndexByte(part, '=')
	if end < 0 || strings.TrimSpace(part[:end]) == "" || strings.TrimSpace(part[end+1:]) == "" {
		return part, nil, fmt.Errorf("%q must be a group and its permissions, as nurses=send_portal_message,manage_labels", part)
	}
	group = strings.TrimSpace(part[:end])
	var faults []error
	for name := range strings.SplitSeq(part[end+1:], ",") {
		p, err := policy.ParsePermission(strings.TrimSpace(name))
		switch {
		case err != nil:
			faults = append(faults, err)
		case byHand(p):
			faults = append(faults, fmt.Errorf("the group %q can't give %s: give it at Staff Info", group, p))
		default:
			permissions = append(permissions, p)
		}
	}
	return group, permissions, errors.Join(faults...)
}

// Permissions are what the groups give together, sorted, each once.
func (m Mapping) Permissions(groups []string) []policy.Permission {
	var all []policy.Permission
	for _, group := range groups {
		all = append(all, m[group]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
