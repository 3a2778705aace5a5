package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/proof/merkle/merklestore"
)

// plainText is an answer that is not JSON.
type plainText struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// CheckpointOperations give checkpoints of the record.
type CheckpointOperations struct {
	Checkpoints merklestore.Querier
}

func (g CheckpointOperations) register(a *API) {
	for _, c := range []struct {
		path, id, summary string
		read              func(context.Context, merklestore.Querier) (string, error)
		actions           []policy.Action // none: public
	}{
		{"/v1/record/checkpoint", "get-checkpoint", "The last signed checkpoint of the record, as text (c2sp.org/tlog-checkpoint).", merklestore.LatestCheckpoint, []policy.Action{policy.ReadTheRecord}},
		{"/v1/record/key", "get-checkpoint-key", "The keys that verify checkpoints and receipts, as text: the current key first, then earlier ones. Public.", merklestore.CheckpointKeys, nil},
	} {
		handle(a, operation{
			method: http.MethodGet, path: c.path, id: c.id, tag: forStaff, summary: c.summary,
			actions: c.actions, problems: []int{http.StatusNotFound},
		}, func(ctx context.Context, _ *struct{}) (*plainText, error) {
			text, err := c.read(ctx, g.Checkpoints)
			return &plainText{"text/plain; charset=utf-8", []byte(text)}, err
		})
	}
}
