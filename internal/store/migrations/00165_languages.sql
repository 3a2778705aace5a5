-- +goose Up

-- The language that a portal user chose for pages and e-mails; null: none.
ALTER TABLE app.portal_accounts ADD COLUMN language text
    CONSTRAINT portal_accounts_language_check CHECK (language IN ('en', 'es', 'fr', 'de', 'ar', 'zh'));

-- Notify workers look here for the recipients of an alert who don't get it in English, as most do.
CREATE INDEX portal_accounts_language ON app.portal_accounts (portal_user_no) INCLUDE (language) WHERE language <> 'en';
GRANT SELECT (portal_user_no, language) ON app.portal_accounts TO postern_notify;

-- +goose Down
DROP INDEX app.portal_accounts_language;
REVOKE SELECT (portal_user_no, language) ON app.portal_accounts FROM postern_notify;
ALTER TABLE app.portal_accounts DROP COLUMN language;
