-- +goose Up

-- The names with which portal users sign in who have no e-mail address. They are random, and stay
-- when the directory gets an address.
CREATE TABLE app.user_names (
    portal_user_no integer PRIMARY KEY,
    user_name      text NOT NULL UNIQUE CHECK (user_name ~ '^[bcdfghjkmnprtvwx3478]{8}$'),
    made_at        timestamptz NOT NULL
);
GRANT SELECT, INSERT ON app.user_names TO postern_api;

-- A letter is a link on paper: instead of a token it has a code that a person types. Codes are
-- shorter than tokens, so a password's hash is stored of them, not a digest. One print makes at most
-- one letter for a person: a page that is loaded again makes no other.
ALTER TABLE app.password_links
    ADD COLUMN way text NOT NULL DEFAULT 'link' CHECK (way IN ('link', 'letter')),
    ADD COLUMN code_hash text,
    ADD COLUMN print_id uuid,
    ADD CONSTRAINT password_links_letter_check CHECK ((way = 'letter') = (code_hash IS NOT NULL)
        AND (way = 'letter') = (print_id IS NOT NULL) AND (way = 'link' OR realm = 'portal_user'));

-- Since when a portal user could sign in: when the first password of the account was set, as the
-- record says; NULL: the record has no password of theirs.
-- +goose StatementBegin
CREATE FUNCTION app.signs_in_since(portal_user_id text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
SELECT e.time FROM record.account_events k JOIN record.events e ON e.seq = k.seq
WHERE k.portal_user_id = $1 AND e.type = 'password.set' ORDER BY k.seq LIMIT 1
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION app.signs_in_since(text);
DELETE FROM app.password_links WHERE way = 'letter';
ALTER TABLE app.password_links DROP CONSTRAINT password_links_letter_check, DROP COLUMN print_id, DROP COLUMN code_hash, DROP COLUMN way;
DROP TABLE app.user_names;
