-- +goose Up

-- The events about the account of a portal user: invited, password set, address changed (ADR 78).
-- The events name the portal user in their bodies alone, which no index reads.
CREATE TABLE record.account_events (
    portal_user_id text NOT NULL,
    seq            bigint NOT NULL,
    PRIMARY KEY (portal_user_id, seq)
);
GRANT SELECT ON record.account_events TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.account_events TO postern_recorder;

-- Tables of the record that lack the rows of events recorded before the table existed. Bodies are
-- compressed, so no migration can write the rows: package migrate does right after it, and deletes
-- the row here.
CREATE TABLE app.tables_to_fill (
    name text PRIMARY KEY CHECK (name IN ('account_events'))
);
INSERT INTO app.tables_to_fill VALUES ('account_events');

-- +goose Down
DROP TABLE app.tables_to_fill, record.account_events;
