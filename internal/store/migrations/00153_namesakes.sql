-- +goose Up

-- Finds portal users of one name, as package folding compares names, by one look.
CREATE INDEX portal_users_namesakes ON app.portal_users (hashtextextended(words::text, 0));

-- +goose Down
DROP INDEX app.portal_users_namesakes;
