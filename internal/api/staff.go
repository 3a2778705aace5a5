package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
)

// StaffMember is a staff member as the others see them.
type StaffMember struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Disabled is left out of most.
	Disabled bool `json:"disabled,omitempty" doc:"They may not come in any more."`
}

func memberOf(s access.Staff) StaffMember { return StaffMember{s.ID, s.Name, s.DisabledAt != nil} }

// Permissions is what a staff member may do.
type Permissions struct {
	Permissions []policy.Permission `json:"permissions" nullable:"false" maxItems:"50"`
}

// TransformSchema implements [huma.SchemaTransformer]: it lists the permissions that there are.
func (Permissions) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	one := s.Properties["permissions"].Items
	for _, p := range policy.All {
		one.Enum = append(one.Enum, string(p))
	}
	one.PrecomputeMessages()
	return s
}

// StaffPath names a staff member.
type StaffPath struct {
	ID string `path:"id" maxLength:"64"`
}

type permissionsInput struct {
	StaffPath
	Body Permissions
}

// StaffOperations list staff and change what they may do.
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
		summary: "What a staff member may do.", actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*body[Permissions], error) {
		staff, err := g.Gate.StaffByID(ctx, in.ID)
		return answerWith(Permissions{held(staff)}), err
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/staff/{id}/permissions", id: "change-permissions", tag: forStaff,
		summary: "Say what a staff member may do. The change is on the record when this answers.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.changePermissions)
	g.staffSwitch(a, "disable", "Keep a staff member out: no session, API token or password of theirs opens anything from now on.", g.Gate.Disable)
	g.staffSwitch(a, "enable", "Let a staff member who was disabled in again.", g.Gate.Enable)
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/second-factor", id: "reset-second-factor", tag: forStaff, status: http.StatusNoContent,
		summary: "Remove the second factor of a staff member who has lost it, and end their sessions.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Gate.ResetFactor(ctx, subjectOf(ctx).Actor(), in.ID)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff/{id}/cancel-scheduled", id: "cancel-scheduled", tag: forStaff,
		summary: "Call off every message that a disabled staff member has scheduled.",
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

// Cancelled counts messages that were called off.
type Cancelled struct {
	Cancelled int `json:"cancelled"`
}

// staffSwitch registers disabling or enabling.
func (g StaffOperations) staffSwitch(a *API, verb, summary string, change func(ctx context.Context, actor, staffID string) error) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff/{id}/" + verb, id: verb + "-staff", tag: forStaff,
		summary: summary + " The change is on the record when this answers.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*body[StaffMember], error) {
		if err := change(ctx, subjectOf(ctx).Actor(), in.ID); err != nil {
			return nil, err
		}
		staff, err := g.Gate.StaffByID(ctx, in.ID)
		return answerWith(memberOf(staff)), err
	})
}

// listStaff pages by position: staff are few, and a page missed while somebody is
// added is asked for again.
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
