// Package clamd scans data with a ClamAV daemon. It fails closed: without a clear answer
// of the daemon it returns ErrNoAnswer.
//
// It uses clamd's INSTREAM command over TCP or a unix socket, with one connection for
// each scan: https://docs.clamav.net/manual/Usage/Scanning.html#clamd . A Client is safe
// for concurrent use. The daemon's StreamMaxLength must not be lower than the size of the
// data; the daemon refuses a longer stream, which gives ErrNoAnswer.
package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"postern/internal/problem"
)

const (
	// Timeout is how long one scan may take, from connecting to the answer.
	Timeout = 30 * time.Second

	maxChunk  = 64 << 10
	maxAnswer = 4 << 10
)

// ErrNoAnswer is the error if the scanner was not reached, or gave no clear answer in
// time. The data may be infected: refuse it, and let the sender try again.
var ErrNoAnswer = problem.ScannerUnavailable.New("could not be checked for viruses, try again")

// InfectedError is the error for data in which the scanner found a virus.
type InfectedError struct {
	Signature string // clamd's name for the virus
}

func (e *InfectedError) Error() string {
	return "is infected with " + e.Signature + ", as the virus scanner found: do not send it"
}

// Problem is the answer to a request with such a file.
func (e *InfectedError) Problem() *problem.Error {
	return problem.Field(problem.AttachmentRefused, "body.file", "the file "+e.Error())
}

// Client is a client of one clamd.
type Client struct {
	network, address string
	timeout          time.Duration
}

// New returns a client of the clamd at host:port or at the path of a unix socket, the
// forms of CLAMD_ADDR. It does not connect yet.
func New(address string) *Client {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	return &Client{network: network, address: address, timeout: Timeout}
}

// Scan returns nil if the scanner found no virus in the data, an *InfectedError if it
// found one, and ErrNoAnswer otherwise.
func (c *Client) Scan(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.ask(ctx, data)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoAnswer, err)
	}
	return verdict(answer)
}

// ask sends the data and returns clamd's answer.
func (c *Client) ask(ctx context.Context, data []byte) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	// clamd may answer before it has read all data, and then stop reading. So an answer
	// counts even if our write failed.
	sent := send(conn, data)
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if len(answer) > 0 {
		return string(answer), nil
	}
	if err = errors.Join(sent, err); err == nil {
		err = io.ErrUnexpectedEOF
	}
	return "", err
}

// send writes the command, the data in chunks with their length in front, and the empty
// chunk at the end.
func send(w io.Writer, data []byte) error {
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	for {
		chunk := data[:min(len(data), maxChunk)]
		data = data[len(chunk):]
		length := binary.BigEndian.AppendUint32(nil, uint32(len(chunk))) // #nosec G115 -- at most maxChunk
		if _, err := (&net.Buffers{length, chunk}).WriteTo(w); err != nil {
			return err
		}
		if len(chunk) == 0 {
			return nil
		}
	}
}

// verdict parses an answer: "stream: OK" or "stream: NAME FOUND", each followed by a zero
// byte. Without the zero byte the answer is incomplete.
func verdict(answer string) error {
	line, whole := strings.CutSuffix(answer, "\x00")
	result, ofStream := strings.CutPrefix(line, "stream: ")
	signature, found := strings.CutSuffix(result, " FOUND")
	switch {
	case whole && ofStream && result == "OK":
		return nil
	case whole && ofStream && found && signature != "":
		return &InfectedError{Signature: printable(signature)}
	default:
		return fmt.Errorf("%w (the scanner said %q)", ErrNoAnswer, line)
	}
}

// printable replaces characters of a signature's name that are not printable ASCII.
func printable(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, []byte(s)))
}
