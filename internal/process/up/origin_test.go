package up

import "testing"

// Only this machine reaches a portal whose address and public URL are both loopback addresses.
func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{"http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:80": true,
		"https://portal.clinic.invalid": false, "http://10.0.0.1:8080": false, "": false, "http://": false} {
		if got := isLoopback(t.Context(), "127.0.0.1:8080", url); got != want {
			t.Errorf("PUBLIC_URL %q: %v", url, got)
		}
	}
	if isLoopback(t.Context(), "0.0.0.0:8080", "http://127.0.0.1:8080") {
		t.Error("all addresses of the machine count as loopback")
	}
}
