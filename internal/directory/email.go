package directory

import (
	"postern/internal/text/address"
	"postern/internal/text/invisible"
)

// checkEmail returns the reason why an address can't be used, or "". A blank text means
// no address and is allowed. Accepted addresses are stored as cleanEmail returns them.
func checkEmail(email string) (reason string) {
	_, reason = cleanEmail(email)
	return reason
}

// cleanEmail returns an address in its stored form, for every kind of file: without
// invisible characters, "" for none. See [address.Clean].
func cleanEmail(email string) (clean, reason string) {
	if invisible.Trim(email) == "" {
		return "", ""
	}
	clean, err := address.Clean(email)
	if err != nil {
		return "", err.Error()
	}
	return clean, ""
}
