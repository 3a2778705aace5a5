-- +goose Up

-- A lease that is held until some time was not held at that time: its holder may have
-- died since it was renewed. What was found by a recorder that led "until" counted for a
-- process that began after that recorder's death. When it was last renewed, it was held.
ALTER TABLE app.leases ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE app.leases SET renewed_at = expires_at - interval '3 seconds'; -- which is how long it lasts
DROP VIEW app.record_verdict;
CREATE VIEW app.record_verdict AS
    SELECT c.ok, c.detail, c.checked_at, l.renewed_at AS led_at
    FROM app.record_check c LEFT JOIN app.leases l ON l.role = 'postern_recorder' AND l.name = 'recorder'
    WHERE c.term = coalesce(l.term, 0);
GRANT SELECT ON app.record_verdict TO postern_api, postern_fanout, postern_notify, postern_recorder;

-- +goose Down
DROP VIEW app.record_verdict;
CREATE VIEW app.record_verdict AS
    SELECT c.ok, c.detail, c.checked_at, l.expires_at AS led_until
    FROM app.record_check c LEFT JOIN app.leases l ON l.role = 'postern_recorder' AND l.name = 'recorder'
    WHERE c.term = coalesce(l.term, 0);
GRANT SELECT ON app.record_verdict TO postern_api, postern_fanout, postern_notify, postern_recorder;
ALTER TABLE app.leases DROP COLUMN renewed_at;
