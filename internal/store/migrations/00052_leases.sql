-- +goose Up

-- What one process of a role at a time does. A lease is renewed while its holder gets
-- on, and another's once it is over, by this database's clock alone. The term grows with
-- each holder: a transaction that was begun under an earlier one finds no such row, and
-- writes nothing. The term is a key, so that taking a lease waits for transactions that
-- hold FOR KEY SHARE, and renewing it does not.
CREATE TABLE app.leases (
    role       text NOT NULL DEFAULT current_user,
    name       text NOT NULL,
    term       bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (role, name),
    UNIQUE (role, name, term)
);
GRANT SELECT, INSERT, UPDATE ON app.leases TO postern_api, postern_fanout, postern_notify, postern_recorder;

-- Everybody sees how leases stand; a role takes its own.
ALTER TABLE app.leases ENABLE ROW LEVEL SECURITY;
CREATE POLICY leases_seen ON app.leases FOR SELECT USING (true);
CREATE POLICY leases_own ON app.leases USING (role = current_user) WITH CHECK (role = current_user);

-- What the recorder found when it held the stream against the copy counts for its own
-- term. The next one looks for itself.
DELETE FROM app.record_check;
ALTER TABLE app.record_check ADD COLUMN term bigint NOT NULL DEFAULT 0;
CREATE VIEW app.record_verdict AS
    SELECT c.ok, c.detail, c.checked_at, l.expires_at AS led_until
    FROM app.record_check c LEFT JOIN app.leases l ON l.role = 'postern_recorder' AND l.name = 'recorder'
    WHERE c.term = coalesce(l.term, 0);
GRANT SELECT ON app.record_verdict TO postern_api, postern_fanout, postern_notify, postern_recorder;

-- +goose Down
DROP VIEW app.record_verdict;
ALTER TABLE app.record_check DROP COLUMN term;
DROP TABLE app.leases;
