-- +goose Up

-- Deliveries and openings are counted by time (ADR 81). Both tables grow in the order of time, so
-- an index of the ranges of their pages is enough: a few kB, and next to nothing at a write.
CREATE INDEX chunks_delivered ON record.chunks USING brin (delivered_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX opens_opened ON record.opens USING brin (opened_at) WITH (pages_per_range = 32, autosummarize = on);

-- +goose Down
DROP INDEX record.opens_opened;
DROP INDEX record.chunks_delivered;
