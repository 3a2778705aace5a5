-- +goose Up

-- What the portal shows of the clinic (ADR 73). Without a row it is the first values that the
-- settings give.
CREATE TABLE record.clinic (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    seq       bigint NOT NULL, -- of the event that changed it last
    name      text NOT NULL,
    telephone text NOT NULL,
    address   text NOT NULL,
    hours     text NOT NULL,
    help      text NOT NULL,
    colour    text NOT NULL CHECK (colour ~ '^(#[0-9a-f]{6})?$'),
    logo_type text NOT NULL CHECK (logo_type IN ('', 'image/svg+xml', 'image/png')),
    logo      bytea NOT NULL CHECK ((logo_type = '') = (logo = '')),
    CHECK (length(logo) <= 49152)
);
GRANT SELECT ON record.clinic TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.clinic TO postern_recorder;

-- +goose Down
DROP TABLE record.clinic;
