-- +goose Up

-- When a link was made: who asks for one by e-mail twice in a row gets one.
ALTER TABLE app.portal_invitations ADD COLUMN made_at timestamptz NOT NULL DEFAULT now();

-- +goose Down
ALTER TABLE app.portal_invitations DROP COLUMN made_at;
