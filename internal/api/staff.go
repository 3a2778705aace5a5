package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/access"
	"postern/internal/access/factor"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/problem"
	"postern/internal/text/folding"
)

// StaffMember is a staff member as other staff see them.
type StaffMember struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email" doc:"The e-mail address with which they sign in."`
	State string `json:"state" enum:"invited,active,disabled" doc:"invited: they have not set a first password yet."`
	// InvitedUntil is left out of the JSON unless they are invited and their link works.
	InvitedUntil *time.Time `json:"invited_until,omitempty" doc:"When the link of an invited staff member stops working. Without it, they need another link."`
	// SecondFactors is left out of the JSON for readers who may not manage staff.
	SecondFactors []factor.Kind `json:"second_factors,omitempty" enum:"totp,passkey" doc:"The kinds of their second factors, for readers who may manage staff. Without it, they have none."`
	// Disabled is left out of the JSON unless it is true.
	Disabled bool `json:"disabled,omitempty" doc:"The account is disabled."`
	Linked   bool `json:"linked" doc:"The account is linked to an identity at the organisation, with which they sign in there."`
	// LinkedSince is left out of the JSON unless the account is linked.
	LinkedSince *time.Time `json:"linked_since,omitempty" doc:"Since when the account is linked."`
}

// memberFor returns how a reader sees a staff member.
func (g StaffOperations) memberFor(reader policy.Subject) func(access.Staff) StaffMember {
	return func(s access.Staff) StaffMember {
		m := g.memberOf(s)
		if policy.Allow(reader, policy.ChangeStaff) == nil {
			m.SecondFactors = s.SecondFactors
		}
		return m
	}
}

func (g StaffOperations) memberOf(s access.Staff) StaffMember {
	m := StaffMember{ID: s.ID, Name: s.Name, Email: s.Email, State: string(access.StaffActive), Disabled: s.DisabledAt != nil,
		Linked: s.LinkedAt != nil, LinkedSince: s.LinkedAt}
	switch g.Gate.StateOf(s) {
	case access.StaffDisabled:
		m.State = string(access.StaffDisabled)
	case access.StaffInvited:
		m.State, m.InvitedUntil = string(access.StaffInvited), s.InvitedUntil
	case access.StaffInvitationExpired:
		m.State = string(access.StaffInvited)
	}
	return m
}

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

// StaffPermissions are the permissions of a staff member, and those that wait for a second
// person.
type StaffPermissions struct {
	Permissions
	Requested []Grant `json:"requested" nullable:"false" doc:"Requests that a second person has not approved yet: see /v1/grants. They permit nothing."`
}

// StaffPath is the path of a staff member.
type StaffPath struct {
	ID string `path:"id" maxLength:"64"`
}

type permissionsInput struct {
	StaffPath
	Body Permissions
}

// StaffOperations list, add and change staff, change their permissions and disable accounts.
type StaffOperations struct {
	Gate     *access.Gate
	Letters  *letter.Letters
	Composer *compose.Composer
}

func (g StaffOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/staff", id: "list-staff", tag: forStaff,
		summary: "Staff by name.", actions: []policy.Action{policy.SeeStaff},
	}, g.listStaff)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff", id: "add-staff", tag: forStaff, status: http.StatusCreated,
		summary: "Add a staff member. They get an e-mail with a link, and choose their own password. The operation returns after the account is recorded.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, g.addStaff)
	handle(a, operation{
		method: http.MethodPatch, path: "/v1/staff/{id}", id: "change-staff", tag: forStaff,
		summary: "Change the name or the e-mail address of a staff member. A changed address ends their sessions and links, and the former address gets an e-mail. Their permissions that take two people are taken away and requested again: see /v1/grants.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, g.changeStaff)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/staff/{id}/reset", id: "reset-staff-password", tag: forStaff, status: http.StatusAccepted,
		summary: "Send a staff member a link for a first or a new password. The present password works until they use the link.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Letters.InviteStaff(ctx, subjectOf(ctx), in.ID)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/staff/{id}/permissions", id: "get-permissions", tag: forStaff,
		summary: "The permissions of a staff member.", actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*body[StaffPermissions], error) {
		return g.permissions(ctx, in.ID)
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/staff/{id}/permissions", id: "change-permissions", tag: forStaff,
		summary: "Replace the permissions of a staff member. Permissions that take two people are requested; the others are given at once. The operation returns after the change is recorded.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.changePermissions)
	g.staffSwitch(a, "disable", "Disable a staff member's account. Their sessions, API tokens and password stop working.", g.Gate.Disable)
	g.staffSwitch(a, "enable", "Enable a disabled staff member's account.", g.Gate.Enable)
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/second-factor", id: "reset-second-factor", tag: forStaff, status: http.StatusNoContent,
		summary: "Remove all second factors of a staff member who has lost them, and end their sessions. Their permissions that take two people are taken away and requested again: see /v1/grants.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Gate.ResetFactor(ctx, subjectOf(ctx).Actor(), in.ID)
	})
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/identity", id: "unlink-staff", tag: forStaff, status: http.StatusNoContent,
		summary: "Unlink the account of a staff member from their identity at the organisation, and end their sessions. Their next sign-in there with the e-mail address of the account links it again.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Gate.Unlink(ctx, subjectOf(ctx).Actor(), in.ID)
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
		return answerWith(g.memberOf(staff)), err
	})
}

// NewStaffMember is the data of a staff member to be added.
type NewStaffMember struct {
	Email string `json:"email" maxLength:"254" doc:"The e-mail address with which they sign in. The link goes to it."`
	Name  string `json:"name" maxLength:"800" doc:"The name that other staff and recipients see."`
	// Permissions may be left out.
	Permissions []policy.Permission `json:"permissions,omitempty" nullable:"false" maxItems:"50" doc:"Their permissions. Without it, they have none. Those that take two people are requested: see /v1/grants."`
}

// TransformSchema implements [huma.SchemaTransformer]: it lists all permissions.
func (NewStaffMember) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	return Permissions{}.TransformSchema(r, s)
}

// AddedStaffMember is a staff member who has just been added.
type AddedStaffMember struct {
	StaffMember
	LinkSent bool `json:"link_sent" doc:"Whether the e-mail with the link was handed over. If not, send it with POST /v1/staff/{id}/reset."`
}

type newStaffInput struct{ Body NewStaffMember }

type changeStaffInput struct {
	StaffPath
	Body struct {
		Name  *string `json:"name,omitempty" maxLength:"800" doc:"The new name. Without it, the name stays."`
		Email *string `json:"email,omitempty" maxLength:"254" doc:"The new e-mail address. Without it, the address stays."`
	}
}

func (g StaffOperations) addStaff(ctx context.Context, in *newStaffInput) (*body[AddedStaffMember], error) {
	who := subjectOf(ctx)
	made, err := g.Gate.CreateStaff(ctx, who.Actor(), access.NewStaff{Email: in.Body.Email, Name: in.Body.Name, Invited: true, Permissions: in.Body.Permissions})
	if err != nil {
		return nil, staffProblem(err)
	}
	// The account exists: a failure of the e-mail is no failure of the request.
	sent := g.Letters.InviteStaff(ctx, who, made.ID)
	if sent != nil && !errors.Is(sent, letter.ErrOff) && !errors.Is(sent, letter.ErrNotSent) {
		return nil, sent
	}
	if made, err = g.Gate.StaffByID(ctx, made.ID); err != nil {
		return nil, err
	}
	return answerWith(AddedStaffMember{g.memberOf(made), sent == nil}), nil
}

func (g StaffOperations) changeStaff(ctx context.Context, in *changeStaffInput) (*body[StaffMember], error) {
	former, err := g.Gate.ChangeStaff(ctx, subjectOf(ctx).Actor(), in.ID, access.StaffChange{Name: in.Body.Name, Email: in.Body.Email})
	if err != nil {
		return nil, staffProblem(err)
	}
	if former != "" {
		g.Letters.TellFormerAddress(ctx, in.ID, former) // the log says if it can't be told
	}
	staff, err := g.Gate.StaffByID(ctx, in.ID)
	return answerWith(g.memberOf(staff)), err
}

// staffProblem gives the faults of a name and an e-mail address their locations.
func staffProblem(err error) error {
	var faults []problem.Fault
	if errors.Is(err, access.ErrEmail) {
		faults = append(faults, problem.Fault{Location: "body.email", Message: access.ErrEmail.Error()})
	}
	if errors.Is(err, access.ErrName) {
		faults = append(faults, problem.Fault{Location: "body.name", Message: access.ErrName.Error()})
	}
	if faults == nil {
		return err
	}
	return problem.InvalidRequest.Problem(faults[0].Location+" "+faults[0].Message, faults...)
}

type listStaffInput struct {
	Page
	Q string `query:"q" maxLength:"200" doc:"Only staff whose name or e-mail address has these words."`
}

// listStaff pages by position. There are few staff; a client that misses one added in
// between reads the list again.
func (g StaffOperations) listStaff(ctx context.Context, in *listStaffInput) (*body[List[StaffMember]], error) {
	all, err := g.Gate.ListStaff(ctx)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Q) != "" {
		all = slices.DeleteFunc(all, func(s access.Staff) bool { return !folding.Mentions(s.Name+" "+s.Email, in.Q) })
	}
	return byPosition(in.Page, all, g.memberFor(subjectOf(ctx)))
}

func (g StaffOperations) changePermissions(ctx context.Context, in *permissionsInput) (*body[StaffPermissions], error) {
	if err := g.Gate.SetPermissions(ctx, subjectOf(ctx).Actor(), in.ID, in.Body.Permissions...); err != nil {
		return nil, err
	}
	return g.permissions(ctx, in.ID)
}

func (g StaffOperations) permissions(ctx context.Context, staffID string) (*body[StaffPermissions], error) {
	staff, err := g.Gate.StaffByID(ctx, staffID)
	if err != nil {
		return nil, err
	}
	requested, err := g.Gate.OpenGrantsOf(ctx, staffID)
	return answerWith(StaffPermissions{Permissions{held(staff)}, grantsOf(requested)}), err
}

func held(s access.Staff) []policy.Permission {
	if s.Permissions == nil {
		return []policy.Permission{}
	}
	return s.Permissions
}
