-- +goose Up

-- An answer of SendGrid came after another worker had declared it unknown: the outcome
-- that says so is to be published again, as it is known now, and no request is made.
ALTER TABLE app.alert_retries ADD COLUMN amends boolean NOT NULL DEFAULT false;
ALTER TABLE app.replay_parts ADD COLUMN amends boolean NOT NULL DEFAULT false;
ALTER TABLE app.replay_parts ADD CHECK (NOT amends OR done_at IS NULL);

-- +goose Down
DELETE FROM app.alert_retries WHERE amends;
ALTER TABLE app.alert_retries DROP COLUMN amends;
ALTER TABLE app.replay_parts DROP COLUMN amends;
