package signin

import (
	"context"
	"math"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
)

type signIn = func(context.Context, access.Credentials) (policy.Subject, error)

// minutes returns after how many whole minutes to try again; at least 1.
func minutes(d time.Duration) int { return max(int(math.Ceil(d.Minutes())), 1) }
