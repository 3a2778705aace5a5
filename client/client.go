// Package client is a client of Postern's API in Go. Everything in client.gen.go is generated from
// schemas/openapi.json: a method for each operation, a type for each schema. [Connect] makes a
// client that signs in with an API token; [WaitUntilSent] follows a message.
//
//	c, err := client.Connect("https://portal.clinic.example", token)
//	answer, err := c.SendMessageWithResponse(ctx, params, message)
//
// A method returns an error only if there was no answer. Look at the field of the status that you
// expect, as JSON202: if it is nil, [Failure] of the answer says why.
//
// A client is safe for concurrent use.
//
// # Size
//
// It is one package because it is generated from one description.
package client

//go:generate go generate ../internal/api
//go:generate env GOFLAGS= CGO_ENABLED=0 go -C ../tools tool oapi-codegen -config ../client/config.yaml ../schemas/openapi.json

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	openapi "github.com/oapi-codegen/runtime/types"
)

// Connect returns a client of the clinic at an address that signs in with an API token. It
// sends nothing yet. Without a token, only operations that are open to everyone work.
func Connect(address, token string, options ...ClientOption) (*ClientWithResponses, error) {
	if _, err := url.Parse(address); err != nil {
		return nil, fmt.Errorf("the address of the clinic: %w", err)
	}
	signIn := WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	})
	c, err := NewClientWithResponses(address, append([]ClientOption{signIn}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("the address of the clinic: %w", err)
	}
	return c, nil
}

// Error implements error: the title and the detail of the problem.
func (p *Problem) Error() string {
	if p.Detail == nil {
		return p.Title
	}
	return p.Title + ": " + *p.Detail
}

// An Answer is an answer of an operation.
type Answer interface {
	StatusCode() int
	Status() string
	GetApplicationproblemJSONDefault() *Problem
}

// Failure returns why an operation failed, as a *[Problem] where the answer is one, or nil for an
// answer with a status below 400.
func Failure(a Answer) error {
	switch problem := a.GetApplicationproblemJSONDefault(); {
	case a.StatusCode() < http.StatusBadRequest:
		return nil
	case problem != nil:
		return problem
	default:
		return fmt.Errorf("the answer was %s", a.Status())
	}
}

// waitInterval is the time between two looks at a message.
const waitInterval = 250 * time.Millisecond

// WaitUntilSent waits until all recipients of a message can read it, or until it is cancelled or
// recalled, and returns it as it is then. It ends with ctx.
func WaitUntilSent(ctx context.Context, c ClientWithResponsesInterface, id openapi.UUID) (*MessageInFull, error) {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		answer, err := c.GetMessageWithResponse(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("reading message %s: %w", id, err)
		}
		if answer.JSON200 == nil {
			return nil, fmt.Errorf("reading message %s: %w", id, Failure(answer))
		}
		switch answer.JSON200.Status {
		case MessageInFullStatusSent, MessageInFullStatusCancelled, MessageInFullStatusRecalled:
			return answer.JSON200, nil
		case MessageInFullStatusScheduled, MessageInFullStatusSending:
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for message %s: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}
