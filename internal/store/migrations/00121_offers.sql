-- +goose Up

-- When a portal user was no longer offered a second factor, because they said no.
ALTER TABLE app.portal_accounts ADD COLUMN factor_offer_closed_at timestamptz;

-- +goose Down
ALTER TABLE app.portal_accounts DROP COLUMN factor_offer_closed_at;
