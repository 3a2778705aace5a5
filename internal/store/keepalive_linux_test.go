package store

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// What the kernel is told, of which it gives up a silent host after ten seconds.
func TestADeadHostIsGivenUpWithinTenSeconds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg, err := pgx.ParseConfig("postgres://127.0.0.1/postern")
	if err != nil {
		t.Fatal(err)
	}
	configure(cfg, RoleRecorder)
	conn, err := cfg.DialFunc(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	err = raw.Control(func(fd uintptr) {
		for name, option := range map[string]int{
			"idle": unix.TCP_KEEPIDLE, "interval": unix.TCP_KEEPINTVL, "count": unix.TCP_KEEPCNT, "unacknowledged": unix.TCP_USER_TIMEOUT,
		} {
			value, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
			if err != nil {
				t.Error(err)
			}
			got[name] = value
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"idle": 4, "interval": 2, "count": 3, "unacknowledged": 10_000}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("socket options (-want +got):\n%s", diff)
	}
}
