-- +goose Up

-- A notify worker holds a lease under its own id, which another process never takes over.
-- Those of workers that ended long ago are deleted. The row security of app.leases keeps
-- the leases of the other roles.
GRANT DELETE ON app.leases TO postern_notify;

-- +goose Down
REVOKE DELETE ON app.leases FROM postern_notify;
DELETE FROM app.leases WHERE starts_with(name, 'worker ');
