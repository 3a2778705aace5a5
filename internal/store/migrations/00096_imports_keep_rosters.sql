-- +goose Up
-- An import by page copies the rosters of new people to the content store, as the fan-out worker
-- does with those that are cited.
GRANT UPDATE (kept) ON app.rosters TO postern_api;

-- +goose Down
REVOKE UPDATE (kept) ON app.rosters FROM postern_api;
