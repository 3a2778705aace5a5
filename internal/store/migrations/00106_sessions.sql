-- +goose Up

-- What a person is shown of a session of theirs. The session's own data has it, so that it is
-- written with the session and never without it. Only a session whose person has signed in has
-- these: not one in which the code is awaited, and not realm browser.
ALTER TABLE app.sessions
    ADD COLUMN id uuid GENERATED ALWAYS AS ((data -> 'values' ->> 'id')::uuid) STORED,
    ADD COLUMN begun_at timestamptz GENERATED ALWAYS AS (to_timestamp((data -> 'values' ->> 'begun')::double precision)) STORED,
    ADD COLUMN method text GENERATED ALWAYS AS (data -> 'values' ->> 'method') STORED,
    ADD COLUMN agent text GENERATED ALWAYS AS (data -> 'values' ->> 'agent') STORED,     -- NULL: not known
    ADD COLUMN network text GENERATED ALWAYS AS (data -> 'values' ->> 'network') STORED, -- a /24 or a /48; NULL: not known
    ADD COLUMN seen_at timestamptz;                                                      -- to the minute

-- Earlier sessions have none of this: everyone signs in again. What a browser remembers stays.
DELETE FROM app.sessions WHERE realm <> 'browser';
ALTER TABLE app.sessions ADD CONSTRAINT sessions_signed_in CHECK (
    (data -> 'values' ->> 'subject' IS NULL OR realm = 'browser') = (id IS NULL)
    AND (id IS NULL) = (begun_at IS NULL)
    AND (id IS NULL) = (method IS NULL)
    AND (id IS NULL OR seen_at IS NOT NULL));

-- +goose Down
ALTER TABLE app.sessions DROP CONSTRAINT sessions_signed_in, DROP COLUMN id, DROP COLUMN begun_at, DROP COLUMN method,
    DROP COLUMN agent, DROP COLUMN network, DROP COLUMN seen_at;
