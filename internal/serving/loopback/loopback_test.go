package loopback

import "testing"

// Only addresses that no other machine can reach are loopback, in every notation.
func TestCheck(t *testing.T) {
	t.Parallel()
	for address, loopback := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1:0": true, "127.1.2.3:80": true, "localhost:8080": true, "LOCALHOST:8080": true,
		"[::1]:8080": true, "[0:0:0:0:0:0:0:1]:8080": true, "[::ffff:127.0.0.1]:8080": true,
		":8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "[::ffff:0.0.0.0]:8080": false,
		"192.168.1.10:8080": false, "10.0.0.1:8080": false, "203.0.113.7:80": false, "[fe80::1]:8080": false, "[2001:db8::1]:443": false,
		"[::ffff:192.168.1.10]:8080": false, "128.0.0.1:8080": false, "126.255.255.255:8080": false,
		"0:8080": false, "127.1:8080": false, "2130706433:8080": false, "0x7f000001:8080": false, "*:8080": false, "localhost.invalid:8080": false,
		"127.0.0.1": false, "": false,
	} {
		if err := Check(t.Context(), address); (err == nil) != loopback {
			t.Errorf("%s: %v", address, err)
		}
	}
}
