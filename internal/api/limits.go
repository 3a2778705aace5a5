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

// describeLimitsOf puts the limits into the description of a schema, where the texts of fields
// have their names in braces.
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
