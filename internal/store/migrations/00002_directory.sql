-- +goose Up

-- The directory: patients, portal users and the links between them, as the last
-- import left them. Nothing is ever deleted, so a number once given stands for
-- the same id for good; events and deliveries rely on it.
--
-- Ids are the importing system's own and sort bytewise everywhere.

CREATE TABLE app.patients (
    patient_no  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    birth_date  date,
    deceased    boolean NOT NULL DEFAULT false,
    status      text NOT NULL CHECK (status IN ('active', 'discharged')),
    patient_id  text COLLATE "C" NOT NULL UNIQUE CHECK (patient_id ~ '^[A-Za-z0-9._-]+$' AND length(patient_id) <= 64),
    given_name  text NOT NULL DEFAULT '',
    family_name text NOT NULL DEFAULT ''
);

CREATE TABLE app.portal_users (
    portal_user_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    active         boolean NOT NULL,
    portal_user_id text COLLATE "C" NOT NULL UNIQUE CHECK (portal_user_id ~ '^[A-Za-z0-9._-]+$' AND length(portal_user_id) <= 64),
    name           text NOT NULL,
    email          text NOT NULL DEFAULT ''   -- '': no address
);

-- A portal user signs in with the address, in whatever case it is typed. It is
-- not unique: families share one. The operator class lets a search use it too.
CREATE INDEX portal_users_email ON app.portal_users (lower(email) text_pattern_ops) WHERE email <> '';

-- A link counts from valid_from to valid_until, both days included; NULL is open.
--
-- There are no foreign keys: the import is the only writer, finds both numbers
-- by joining the tables themselves, and nothing is deleted. Two checks a row
-- would cost more than the rest of an import.
CREATE TABLE app.links (
    portal_user_no integer NOT NULL,
    patient_no     integer NOT NULL,
    valid_from     date,
    valid_until    date,
    relationship   text NOT NULL CHECK (relationship IN ('self', 'representative')),
    PRIMARY KEY (portal_user_no, patient_no, relationship),
    CHECK (valid_until >= valid_from)
);
CREATE INDEX links_patient ON app.links (patient_no);

-- app.words gives the words that a search may begin with, comparable: lower case,
-- and without the accents of Latin, Greek and Cyrillic letters (the vowel signs
-- of other scripts stay). Anne-Marie is found as "anne-marie", "anne" and "marie".
CREATE FUNCTION app.words(t text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(array_remove(string_to_array(
        CASE WHEN octet_length(t) = char_length(t)
        THEN lower(t || ' ' || translate(t, '-'',', '   '))
        ELSE lower(normalize(regexp_replace(
            normalize(t || ' ' || translate(t, '-''’,', '    '), NFD), '[\u0300-\u036f]+', '', 'g'), NFC))
        END, ' '), ''))
$$;

-- app.word_query asks for texts that hold a word beginning with each of those of t.
CREATE FUNCTION app.word_query(t text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || ''':*', ' & ')::tsquery
    FROM unnest(tsvector_to_array(app.words(t))) AS word
$$;

-- Words, not trigrams: fewer entries a row keep the import fast, and looking a
-- prefix up reads only what matches.
CREATE INDEX portal_users_words ON app.portal_users USING gin (app.words(name));
CREATE INDEX patients_words ON app.patients USING gin (app.words(given_name || ' ' || family_name));

GRANT SELECT, INSERT, UPDATE ON app.patients, app.portal_users, app.links TO postern_api;
GRANT SELECT ON app.patients, app.portal_users, app.links TO postern_fanout, postern_notify, postern_recorder;
