// Package clamd asks a ClamAV daemon whether bytes hold something that it
// knows, and fails closed: whatever is not a clear answer is ErrNoAnswer.
//
// It speaks clamd's INSTREAM command over TCP or a unix socket, one connection
// a scan: https://docs.clamav.net/manual/Usage/Scanning.html#clamd . A Client
// is safe for concurrent use. The daemon's StreamMaxLength must not be below
// what is scanned; a longer stream is refused there, and so no answer.
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

// ErrNoAnswer says that the scanner was not reached, or gave no clear answer in
// time. Nothing is known of the bytes: refuse them, and let them be tried again.
var ErrNoAnswer = problem.ScannerUnavailable.New("could not be checked for viruses, try again")

// InfectedError says that the scanner found something.
type InfectedError struct {
	Signature string // clamd's name of what it found
}

func (e *InfectedError) Error() string {
	return "is infected with " + e.Signature + ", says the virus scanner: do not send it"
}

// Problem is how a request with such a file is answered.
func (e *InfectedError) Problem() *problem.Error {
	return problem.AttachmentRefused.Problem("the file "+e.Error(), problem.Fault{Location: "body.file", Message: "the file " + e.Error()})
}

// Client is a clamd at one address.
type Client struct {
	network, address string
	timeout          time.Duration
}

// New makes the client of a clamd at host:port or at the path of a unix socket,
// the forms of CLAMD_ADDR. It does not connect yet.
func New(address string) *Client {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	return &Client{network: network, address: address, timeout: Timeout}
}

// Scan returns nil when the scanner knows nothing bad of the bytes, an
// *InfectedError when it does, and ErrNoAnswer for everything else.
func (c *Client) Scan(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.ask(ctx, data)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoAnswer, err)
	}
	return verdict(answer)
}

// ask sends the bytes and returns what clamd says of them.
func (c *Client) ask(ctx context.Context, data []byte) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	// A clamd that has heard enough answers and stops reading: its answer counts
	// for more than our failed write.
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

// send writes the command, the bytes in chunks that each begin with their
// length, and the empty chunk that ends them.
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

// verdict reads an answer: "stream: OK", "stream: NAME FOUND", both ended by a
// zero byte, without which the answer was cut.
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

// printable keeps a signature's name to what belongs in a line of text.
func printable(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, []byte(s)))
}
