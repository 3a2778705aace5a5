-- +goose Up

-- A worker that retries a parked event leases its row, and runs the handler outside of any
-- transaction. lease is a new id each time that the row is taken. A lease that is not
-- renewed ends, and another worker may take the row.
ALTER TABLE app.parked ADD COLUMN lease uuid, ADD COLUMN leased_until timestamptz;
ALTER TABLE app.parked ADD CHECK ((lease IS NULL) = (leased_until IS NULL));
ALTER TABLE app.parked ADD CHECK (lease IS NULL OR handled_at IS NULL);

-- +goose Down
ALTER TABLE app.parked DROP COLUMN leased_until, DROP COLUMN lease;
