-- +goose Up

-- What SendGrid answered in the last hour, and what became of alerts in the last
-- day, are read on the page of operations every few seconds. Both tables have a row
-- for a thousand alerts, so that keeping these costs next to nothing.
CREATE INDEX attempts_answered ON app.attempts (answered_at) WHERE answered_at IS NOT NULL;
CREATE INDEX chunks_alerted ON record.chunks (alert_at) WHERE alert_at IS NOT NULL;

-- +goose Down
DROP INDEX app.attempts_answered;
DROP INDEX record.chunks_alerted;
