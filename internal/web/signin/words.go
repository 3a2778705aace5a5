package signin

import (
	"context"
	"fmt"
	"math"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
)

type signIn = func(context.Context, access.Credentials) (policy.Subject, error)

// inMinutes returns a text for when to try again.
func inMinutes(d time.Duration) string {
	if minutes := int(math.Ceil(d.Minutes())); minutes > 1 {
		return fmt.Sprintf("in %d minutes", minutes)
	}
	return "in a minute"
}
