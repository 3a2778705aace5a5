-- +goose Up

-- The message that a draft is a copy of: one that was cancelled or recalled, to be
-- edited and sent again (docs/adr/0064-edit-and-send-again.md). A message has one
-- such draft at most. It goes when the content of the message is erased.
ALTER TABLE app.drafts ADD COLUMN copy_of uuid UNIQUE;

-- The message that an upload was copied from, in a draft or not yet in one.
ALTER TABLE app.attachments ADD COLUMN copy_of uuid;
CREATE INDEX attachments_copy ON app.attachments (copy_of) WHERE copy_of IS NOT NULL;

-- +goose Down
ALTER TABLE app.attachments DROP COLUMN copy_of;
ALTER TABLE app.drafts DROP COLUMN copy_of;
