-- +goose Up

-- Whether the content store holds a copy of the row; see package content. Rows from
-- before are copied in the background.
ALTER TABLE app.message_content ADD COLUMN copied boolean NOT NULL DEFAULT false;
ALTER TABLE app.manifest_keys ADD COLUMN copied boolean NOT NULL DEFAULT false;
CREATE INDEX message_content_uncopied ON app.message_content (message_id) WHERE NOT copied;
CREATE INDEX manifest_keys_uncopied ON app.manifest_keys (message_id) WHERE NOT copied;

GRANT UPDATE ON app.manifest_keys TO postern_fanout, postern_api;

-- +goose Down
REVOKE UPDATE ON app.manifest_keys FROM postern_fanout, postern_api;
ALTER TABLE app.manifest_keys DROP COLUMN copied;
ALTER TABLE app.message_content DROP COLUMN copied;
