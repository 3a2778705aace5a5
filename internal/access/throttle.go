package access

import (
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

// signInsPerMinute is how many sign-ins one address may try: that of the
// connection, which may be a proxy's, with everybody behind it. Guessing at one
// account is slowed down by its tries, wherever it comes from.
const signInsPerMinute = 600

// Throttle counts a request that tries to prove who somebody is, and refuses it as
// [TooSoon] where too many came from its address: somebody tries one account after
// another. It sets the headers that tell what is left.
func (g *Gate) Throttle(w http.ResponseWriter, r *http.Request) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return err
	}
	if g.addresses.OnLimit(w, r, httprate.CanonicalizeIP(host)) {
		return TooSoon{After: time.Minute}
	}
	return nil
}
