package process

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"postern/internal/pace"
)

// Blasts leave room for the requests of portal users, and not for those of staff.
func TestPortalFirst(t *testing.T) {
	for path, first := range map[string]bool{
		"/portal": true, "/portal/sign-in": true, "/v1/portal/messages": true, "/v1/portal/session": true,
		"/v1/portal-users": false, "/v1/messages": false, "/directory/portal-users": false, "/": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &pace.Pace{}
			portalFirst(p, http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
			if small, err := p.Rest(t.Context(), 0); small != first || err != nil {
				t.Errorf("%s leaves room: %v (%v)", path, small, err)
			}
		})
	}
}
