package directory

import (
	"postern/internal/text/address"
	"postern/internal/text/invisible"
)

// checkEmail gives the reason why an address can't be used, or "". A text
// that shows nothing is no address, which is right. What it lets pass is kept as cleanEmail gives it.
func checkEmail(email string) (reason string) {
	_, reason = cleanEmail(email)
	return reason
}

// cleanEmail gives an address as it is kept, whichever file it came in: without
// characters that can't be seen, "" for none. See [address.Clean].
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
