-- +goose Up

-- The patients whom a message to chosen portal users concerns, between the claim of a send and its
-- event, so that a retry makes the same event: an object that has, for each portal user, the ids of
-- the patients. It is null after the event was published, and in claims from before.
ALTER TABLE app.sends ADD COLUMN about jsonb CHECK (jsonb_typeof(about) = 'object');

-- +goose Down
ALTER TABLE app.sends DROP COLUMN about;
