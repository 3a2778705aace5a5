package process

import (
	"context"
	"time"

	"postern/internal/store"
)

// scrapeTimeout bounds asking Postgres for a scrape, which has no context of its own.
const scrapeTimeout = 2 * time.Second

// warnOfReplicas says at the start where a failover of Postgres would lose commits.
func (b *base) warnOfReplicas(ctx context.Context) {
	r, err := store.ReadReplication(ctx, b.pool)
	if err != nil {
		b.logger.Warn("the replicas of Postgres are not known", "error", err)
		return
	}
	if warning := r.Warning(); warning != "" {
		b.logger.Warn(warning, "replicas", r.Replicas)
	}
}

// within makes a gauge of a question, -1 where it has no answer in time.
func within(ask func(context.Context) (float64, error)) func() float64 {
	return func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
		defer cancel()
		n, err := ask(ctx)
		if err != nil {
			return -1
		}
		return n
	}
}

// asynchronous counts the replicas that no commit waits for.
func (b *base) asynchronous(ctx context.Context) (float64, error) {
	r, err := store.ReadReplication(ctx, b.pool)
	if r.Synchronous {
		return 0, err
	}
	return float64(r.Replicas), err
}

// unsettled is 1 while a failover of Postgres keeps alerts back; see package notify.
func (b *base) unsettled(ctx context.Context) (n float64, err error) {
	err = b.pool.QueryRow(ctx, `SELECT CASE WHEN EXISTS (SELECT FROM app.timelines
		WHERE timeline = app.timeline() AND settled_at IS NOT NULL) THEN 0 ELSE 1 END::float8`).Scan(&n)
	return n, err
}
