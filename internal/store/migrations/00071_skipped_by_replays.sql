-- +goose Up

-- What a replay of an older version recorded as skipped, for plans of replays.
CREATE INDEX alert_exceptions_skipped ON record.alert_exceptions (message_id, portal_user_no) WHERE state = 'skipped' AND attempt > 1;

-- +goose Down
DROP INDEX record.alert_exceptions_skipped;
