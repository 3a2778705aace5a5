package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/clinic/clinicstore"
	"postern/internal/inbound"
	"postern/internal/limits"
)

// ClinicOperations are the details of the clinic, as portal users see them.
type ClinicOperations struct {
	Clinic *clinicstore.Store
}

// clinicDetails are the details and their version.
type clinicDetails struct {
	clinic.Details
	Version uint64 `json:"version" doc:"The number of the event that changed the details last; 0 if none has. A change names the version that it replaces."`
}

type clinicInput struct{ Body clinicDetails }

func (g ClinicOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/clinic", id: "get-clinic", tag: forStaff,
		summary: "The clinic's name, logo, address and other details, as portal users see them.", actions: []policy.Action{policy.SeeLabels},
	}, func(ctx context.Context, _ *struct{}) (*body[clinicDetails], error) {
		now, version, err := g.Clinic.Current(ctx)
		return answerWith(clinicDetails{now, version}), err
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/clinic", id: "change-clinic", tag: forStaff,
		summary: "Replace the clinic's details. The operation returns after the change is recorded.", actions: []policy.Action{policy.ChangeClinic},
		takes:    inbound.Body{Types: []string{inbound.JSON}, MaxBytes: 2*int64(limits.ClinicLogo) + 64<<10},
		problems: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, g.change)
}

func (g ClinicOperations) change(ctx context.Context, in *clinicInput) (*body[clinicDetails], error) {
	wanted := in.Body.Details
	wanted.Tidy()
	if err := invalidBody(wanted.Faults()); err != nil {
		return nil, err
	}
	if _, err := g.Clinic.Change(ctx, subjectOf(ctx).Actor(), in.Body.Version, wanted); err != nil {
		return nil, err
	}
	now, version, err := g.Clinic.Current(ctx)
	return answerWith(clinicDetails{now, version}), err
}
