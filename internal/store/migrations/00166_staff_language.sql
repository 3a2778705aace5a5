-- +goose Up

-- The language that a staff member chose for pages and e-mails; null: none.
ALTER TABLE app.staff_accounts ADD COLUMN language text
    CONSTRAINT staff_accounts_language_check CHECK (language IN ('en', 'es'));

-- +goose Down
ALTER TABLE app.staff_accounts DROP COLUMN language;
