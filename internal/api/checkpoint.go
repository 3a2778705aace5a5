package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postern/internal/access/policy"
	"postern/internal/problem"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle/merklestore"
)

// plainText is an answer that is not JSON.
type plainText struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func textOf(text string, err error) (*plainText, error) {
	return &plainText{"text/plain; charset=utf-8", []byte(text)}, err
}

// CheckpointOperations give checkpoints of the record, and the keys that verify them.
type CheckpointOperations struct {
	Checkpoints merklestore.Querier
	// Public is what clients who may not read the record get; see docs/adr/0077.
	Public checkpoint.Public
	Now    func() time.Time
}

// publicInput has the token, if the client sent one. A client whose token has ended gets an error,
// and not what everyone gets of a checkpoint.
type publicInput struct {
	Authorization string `header:"Authorization" hidden:"true"`
}

// errNoCommitment is for a record whose first checkpoint was signed in this hour.
var errNoCommitment = problem.NotFound.New("no checkpoint of the record was signed before the last full hour: try again after the next one")

func (g CheckpointOperations) register(a *API) {
	problems := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record/checkpoint", id: "get-checkpoint", tag: forStaff, problems: problems,
		summary: "With the permission read_record, the last signed checkpoint of the record, as text (c2sp.org/tlog-checkpoint). For everyone else, if the clinic allows it, a commitment to the last one before the full hour: its SHA-256, without the size of the record.",
	}, func(ctx context.Context, in *publicInput) (*plainText, error) {
		whole, err := g.mayReadAll(ctx, in, checkpoint.PublicCommitment)
		switch {
		case err != nil:
			return nil, err
		case whole:
			return textOf(merklestore.LatestCheckpoint(ctx, g.Checkpoints))
		}
		hour := g.Now().Truncate(time.Hour)
		signed, err := merklestore.CheckpointBefore(ctx, g.Checkpoints, hour)
		if errors.Is(err, merklestore.ErrUnsigned) {
			err = errNoCommitment
		}
		return textOf(checkpoint.Commit(signed, hour).Text(), err)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record/key", id: "get-checkpoint-key", tag: forStaff, problems: problems,
		summary: "The keys that verify checkpoints and receipts, as text: the current key first, then earlier ones. Public, unless the clinic has set otherwise.",
	}, func(ctx context.Context, in *publicInput) (*plainText, error) {
		if _, err := g.mayReadAll(ctx, in, checkpoint.PublicKey); err != nil {
			return nil, err
		}
		return textOf(merklestore.CheckpointKeys(ctx, g.Checkpoints))
	})
}

// mayReadAll reports whether the client may read the record. If not, it returns an error unless
// the clinic has made public what the client asks for.
func (g CheckpointOperations) mayReadAll(ctx context.Context, in *publicInput, asks checkpoint.Public) (bool, error) {
	subject, err := policy.SubjectFrom(ctx)
	if err == nil {
		err = policy.Allow(subject, policy.ReadTheRecord)
	}
	switch {
	case err == nil:
		return true, nil
	case !g.Public.Shows(asks), asks == checkpoint.PublicCommitment && in.Authorization != "" && errors.Is(err, policy.ErrUnauthenticated):
		return false, err
	}
	return false, nil
}
