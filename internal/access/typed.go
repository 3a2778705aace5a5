package access

import (
	"strings"

	"postern/internal/text/address"
)

// hasAddress is the SQL condition that a column holds one of the addresses of
// [stored] as $1, in any case.
func hasAddress(column string) string { return `lower(` + column + `) = ANY ($1)` }

// stored gives the forms in which an address that was typed may be stored, in small
// letters: clean, and as it was typed. An address that came in before package address
// had the rule is stored as it was.
func stored(email string) []string {
	clean, asTyped := strings.ToLower(address.Typed(email)), strings.ToLower(strings.TrimSpace(email))
	if clean == asTyped {
		return []string{clean}
	}
	return []string{clean, asTyped}
}
