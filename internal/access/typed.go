package access

import (
	"strings"

	"postern/internal/text/address"
)

// hasAddress is the SQL condition that a column holds one of the addresses in $1, which
// come from [stored], in any case.
func hasAddress(column string) string { return `lower(` + column + `) = ANY ($1)` }

// stored returns the forms in which a typed address may be stored, in lower case: clean,
// and as typed. An address that was stored before package address existed was not
// cleaned.
func stored(email string) []string {
	clean, asTyped := strings.ToLower(address.Typed(email)), strings.ToLower(strings.TrimSpace(email))
	if clean == asTyped {
		return []string{clean}
	}
	return []string{clean, asTyped}
}
