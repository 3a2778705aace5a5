package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
)

// StaffMember is a staff member as other staff see them.
type StaffMember struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Disabled is left out of the JSON unless it is true.
	Disabled bool `json:"disabled,omitempty" doc:"The account is disabled."`
}

func memberOf(s access.Staff) StaffMember { return StaffMember{s.ID, s.Name, s.DisabledAt != nil} }

// Permissions are the permissions of a staff member.
type Permissions struct {
	Permissions []policy.Permission `json:"permissions" nullable:"false" maxItems:"50"`
}

// TransformSchema implements [huma.SchemaTransformer]: it lists all permissions.
func (Permissions) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	listPermissions(s)
	return s
}

// listPermissions lists all permissions in the schema of a type with a list of them.
func listPermissions(s *huma.Schema) {
	one := s.Properties["permissions"].Items
	for _, p := range policy.All {
		one.Enum = append(one.Enum, string(p))
	}
	one.PrecomputeMessages()
}

// StaffPath is the path of a staff member.
type StaffPath struct {
	ID string `path:"id" maxLength:"64"`
}

type permissionsInput struct {
	StaffPath
	Body Permissions
}

// StaffOperations list staff, change their permissions and disable accounts.
type StaffOperations struct {
	Gate     *access.Gate
	Composer *compose.Composer
}

func (g StaffOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/staff", id: "list-staff", tag: forStaff,
		summary: "Staff by name.", actions: []policy.Action{policy.SeeStaff},
	}, g.listStaff)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/staff/{id}/permissions", id: "get-permissions", tag: forStaff,
		summary: "The permissions of a staff member.", actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*body[Permissions], error) {
		staff, err := g.Gate.StaffByID(ctx, in.ID)
		return answerWith(Permissions{held(staff)}), err
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/staff/{id}/permissions", id: "change-permissions", tag: forStaff,
		summary: "Replace the permissions of a staff member. The operation returns after the change is recorded.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.changePermissions)
	g.staffSwitch(a, "disable", "Disable a staff member's account. Their sessions, API tokens and password stop working.", g.Gate.Disable)
	g.staffSwitch(a, "enable", "Enable a disabled staff member's account.", g.Gate.Enable)
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/second-factor", id: "reset-second-factor", tag: forStaff, status: http.StatusNoContent,
		summary: "Remove the second factor of a staff member who has lost it, and end their sessions.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Gate.ResetFactor(ctx, subjectOf(ctx).Actor(), in.ID)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff/{id}/cancel-scheduled", id: "cancel-scheduled", tag: forStaff,
		summary: "Cancel every message that a disabled staff member has scheduled.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*body[Cancelled], error) {
		staff, err := g.Gate.StaffByID(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		n, err := g.Composer.CancelAllOf(ctx, subjectOf(ctx), staff)
		return answerWith(Cancelled{n}), err
	})
}

// Cancelled is the number of cancelled messages.
type Cancelled struct {
	Cancelled int `json:"cancelled"`
}

// staffSwitch registers disabling or enabling.
func (g StaffOperations) staffSwitch(a *API, verb, summary string, change func(ctx context.Context, actor, staffID string) error) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff/{id}/" + verb, id: verb + "-staff", tag: forStaff,
		summary: summary + " The operation returns after the change is recorded.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*body[StaffMember], error) {
		if err := change(ctx, subjectOf(ctx).Actor(), in.ID); err != nil {
			return nil, err
		}
		staff, err := g.Gate.StaffByID(ctx, in.ID)
		return answerWith(memberOf(staff)), err
	})
}

// listStaff pages by position. There are few staff; a client that misses one added in
// between reads the list again.
func (g StaffOperations) listStaff(ctx context.Context, in *Page) (*body[List[StaffMember]], error) {
	skip, err := in.fromNumber()
	if err != nil {
		return nil, err
	}
	all, err := g.Gate.ListStaff(ctx)
	if err != nil {
		return nil, err
	}
	rest := all[min(int(skip), len(all)):]
	next := skip + int32(in.Limit) // #nosec G115 -- a page has at most 500
	return answerWith(page(rest, in.Limit,
		memberOf,
		func(access.Staff) string { return cursorOfNumber(next) })), nil
}

func (g StaffOperations) changePermissions(ctx context.Context, in *permissionsInput) (*body[Permissions], error) {
	if err := g.Gate.SetPermissions(ctx, subjectOf(ctx).Actor(), in.ID, in.Body.Permissions...); err != nil {
		return nil, err
	}
	staff, err := g.Gate.StaffByID(ctx, in.ID)
	return answerWith(Permissions{held(staff)}), err
}

func held(s access.Staff) []policy.Permission {
	if s.Permissions == nil {
		return []policy.Permission{}
	}
	return s.Permissions
}
