package api

import (
	"github.com/danielgtaylor/huma/v2"

	"postern/internal/limits"
)

// reason is a reason that staff give. It is recorded.
type reason string

// TransformSchema implements [huma.SchemaTransformer]. Tags of fields can't hold constants.
func (reason) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	most := int(limits.Reason)
	s.MaxLength = &most
	return s
}

// describeLimits puts the limits into the description of the API, where the texts of
// fields have their names in braces. Call it once all operations are registered.
func (a *API) describeLimits() {
	for _, s := range a.huma.OpenAPI().Components.Schemas.Map() {
		describeLimitsOf(s)
	}
	for _, op := range a.operations() {
		for _, p := range op.Parameters {
			p.Description = limits.Fill(p.Description)
			describeLimitsOf(p.Schema)
		}
	}
}

func describeLimitsOf(s *huma.Schema) {
	if s == nil {
		return
	}
	s.Description = limits.Fill(s.Description)
	for _, property := range s.Properties {
		describeLimitsOf(property)
	}
	describeLimitsOf(s.Items)
}
