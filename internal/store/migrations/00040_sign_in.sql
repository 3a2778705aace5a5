-- +goose Up

-- Since when a staff member may not come in; NULL: they may.
ALTER TABLE record.staff ADD COLUMN disabled_at timestamptz;

-- +goose Down
ALTER TABLE record.staff DROP COLUMN disabled_at;
