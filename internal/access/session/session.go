// Package session says what people are shown of their sessions. It does no I/O: package access
// reads and ends them.
package session

import (
	"time"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
)

// ErrNotFound says that a person has no session with that id.
var ErrNotFound = problem.NotFound.New("no such session: it may have ended already")

// Session is an open session of a staff member or a portal user.
type Session struct {
	ID      uuid.UUID
	BegunAt time.Time
	SeenAt  time.Time // of the last request, to the minute
	Method  policy.Method
	Agent   string // the browser, such as "Firefox on Linux"; "": not known
	Network string // of the client when they signed in: a /24 or a /48; "": not known
	This    bool   // the session of the request
}
