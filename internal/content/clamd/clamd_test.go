package clamd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScan(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16) // 4 MiB
	cases := []struct {
		name     string
		data     []byte
		answer   string
		infected string // the signature, "" for none
		noAnswer bool
	}{
		{"clean", []byte("hello"), "stream: OK\x00", "", false},
		{"clean, many chunks", long, "stream: OK\x00", "", false},
		{"clean, nothing", nil, "stream: OK\x00", "", false},
		{"infected", []byte("X5O!P%@AP"), "stream: Eicar-Test-Signature FOUND\x00", "Eicar-Test-Signature", false},
		{"infected, odd name", []byte("x"), "stream: A\nB FOUND\x00", "A?B", false},
		{"too long for it", []byte("x"), "INSTREAM size limit exceeded. ERROR\x00", "", true},
		{"an error", []byte("x"), "stream: Can't allocate memory ERROR\x00", "", true},
		{"cut answer", []byte("x"), "stream: OK", "", true},
		{"cut signature", []byte("x"), "stream: Eicar", "", true},
		{"of something else", []byte("x"), "OK\x00", "", true},
		{"no signature", []byte("x"), "stream: FOUND\x00", "", true},
		{"silence", []byte("x"), "", "", true},
		{"endless", []byte("x"), strings.Repeat("stream: OK ", 1000), "", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			address, received := fake(t, "tcp", "127.0.0.1:0", c.answer)
			err := New(address).Scan(t.Context(), c.data)
			if got := <-received; !bytes.Equal(got, c.data) {
				t.Errorf("the scanner received %d bytes, want the %d", len(got), len(c.data))
			}
			var infected *InfectedError
			switch {
			case c.infected != "":
				if !errors.As(err, &infected) || infected.Signature != c.infected {
					t.Errorf("got %v, want %s found", err, c.infected)
				}
			case c.noAnswer:
				if !errors.Is(err, ErrNoAnswer) || errors.As(err, &infected) {
					t.Errorf("got %v, want ErrNoAnswer", err)
				}
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func TestScanOverAUnixSocket(t *testing.T) {
	address, received := fake(t, "unix", filepath.Join(t.TempDir(), "clamd.sock"), "stream: OK\x00")
	if err := New(address).Scan(t.Context(), []byte("hello")); err != nil {
		t.Error(err)
	}
	<-received
}

func TestScanWithoutAScannerGivesNoAnswer(t *testing.T) {
	err := New(filepath.Join(t.TempDir(), "none.sock")).Scan(t.Context(), []byte("x"))
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v, want ErrNoAnswer", err)
	}
}

// A clamd that accepts the connection and then hangs delays a scan by the timeout at most.
func TestHangingScanner(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	c := New(l.Addr().String())
	c.timeout = 20 * time.Millisecond
	for _, size := range []int{1, 64 << 20} { // the second fills every buffer between client and server
		if err := c.Scan(t.Context(), make([]byte, size)); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%d bytes: got %v, want ErrNoAnswer", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(l.Addr().String()).Scan(ctx, nil); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("cancelled: got %v, want ErrNoAnswer", err)
	}
}

// clamd may answer before it has read all data. Its answer counts.
func TestAnswerBeforeTheEnd(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadFull(conn, make([]byte, 1<<10))
		_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	err := New(l.Addr().String()).Scan(t.Context(), make([]byte, 1<<20))
	if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "size limit") {
		t.Errorf("got %v, want ErrNoAnswer with what the scanner said", err)
	}
}

// fake is a clamd for one scan: it reads a whole stream, sends the answer, and returns
// the received data through the channel.
func fake(t *testing.T, network, address, answer string) (string, <-chan []byte) {
	t.Helper()
	l := listen(t, network, address)
	received := make(chan []byte, 1)
	go func() {
		defer close(received)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		if command, err := r.ReadString(0); err != nil || command != "zINSTREAM\x00" {
			t.Errorf("command %q, %v", command, err)
			return
		}
		var data []byte
		for {
			var length uint32
			if err := binary.Read(r, binary.BigEndian, &length); err != nil {
				t.Errorf("the stream broke off: %v", err)
				return
			}
			if length == 0 {
				break
			}
			chunk := make([]byte, length)
			if _, err := io.ReadFull(r, chunk); err != nil {
				t.Errorf("a chunk broke off: %v", err)
				return
			}
			data = append(data, chunk...)
		}
		_, _ = io.WriteString(conn, answer)
		received <- data
	}()
	return l.Addr().String(), received
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
