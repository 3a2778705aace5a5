-- +goose Up

-- The words that a name is found by are made by package folding, which is the one
-- rule for every search, and stored beside the name by the import. Version 0 are rows
-- that have not been folded: those from before this migration, and those that an older
-- version of Postern writes during an upgrade. The API folds them when it starts, and
-- now and then (directory.FoldNames).
--
-- A later version of the rule comes with a migration that makes the two partial
-- indexes anew with its number.
DROP INDEX app.portal_users_words, app.patients_words;

ALTER TABLE app.portal_users
    ADD COLUMN words         tsvector NOT NULL DEFAULT '',
    ADD COLUMN words_version smallint NOT NULL DEFAULT 0;
ALTER TABLE app.patients
    ADD COLUMN words         tsvector NOT NULL DEFAULT '',
    ADD COLUMN words_version smallint NOT NULL DEFAULT 0;

CREATE INDEX portal_users_words ON app.portal_users USING gin (words);
CREATE INDEX patients_words ON app.patients USING gin (words);
CREATE INDEX portal_users_unfolded ON app.portal_users (portal_user_no) WHERE words_version < 1;
CREATE INDEX patients_unfolded ON app.patients (patient_no) WHERE words_version < 1;

-- A name that is written without its words is folded again: they are another's.
-- +goose StatementBegin
CREATE FUNCTION app.forget_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.words_version := 0;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER forget_words BEFORE UPDATE OF name ON app.portal_users FOR EACH ROW
    WHEN (OLD.name <> NEW.name AND OLD.words = NEW.words) EXECUTE FUNCTION app.forget_words();
CREATE TRIGGER forget_words BEFORE UPDATE OF given_name, family_name ON app.patients FOR EACH ROW
    WHEN ((OLD.given_name, OLD.family_name) <> (NEW.given_name, NEW.family_name) AND OLD.words = NEW.words)
    EXECUTE FUNCTION app.forget_words();

DROP FUNCTION app.word_query(text);
DROP FUNCTION app.words(text);
