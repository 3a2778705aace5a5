-- +goose Up

-- What FHIR resources said last, as far as it decides who is written to: an export may
-- hold only what has changed, so a patient's status and a representative's link come
-- from everything that is known. See docs/adr/0058-fhir-resources-are-remembered.md.
-- Names and addresses are not here: app.patients and app.portal_users have them.
--
-- Rows are found by the ids of the resources and may be there before the Patient they
-- name is. No foreign keys, for the reason that app.links gives.

CREATE TABLE app.fhir_patients (
    active        boolean,                        -- Patient.active; NULL: no Patient resource was read yet
    deleted       boolean NOT NULL DEFAULT false,
    patient_id    text COLLATE "C" PRIMARY KEY,
    -- The status that the patient had from elsewhere (a CSV file, a version of Postern
    -- that kept no episodes): it holds while no episode of the patient is known.
    status_before text CHECK (status_before IN ('active', 'discharged'))
);

-- Each Patient.link that says that one patient's record is replaced by another's.
CREATE TABLE app.fhir_replacements (
    said_by   text COLLATE "C" NOT NULL,          -- the Patient that has the link
    replaced  text COLLATE "C" NOT NULL,
    successor text COLLATE "C" NOT NULL,          -- '': the link names no patient that can be found
    PRIMARY KEY (said_by, replaced, successor)
);

CREATE TABLE app.fhir_related_persons (
    active            boolean NOT NULL,
    deleted           boolean NOT NULL,
    valid_from        date,
    valid_until       date,
    related_person_id text COLLATE "C" PRIMARY KEY,
    patient_id        text COLLATE "C",           -- RelatedPerson.patient; NULL: it names no patient
    -- The patient to whom the link of this import leads: patient_id or its successor.
    -- NULL: none is known, and the account is inactive.
    linked_to         text COLLATE "C"
);
CREATE INDEX fhir_related_persons_patient ON app.fhir_related_persons (patient_id);

CREATE TABLE app.fhir_episodes (
    state      text NOT NULL CHECK (state IN ('open', 'over', 'void')), -- void: deleted, or entered in error
    episode_id text COLLATE "C" PRIMARY KEY,
    patient_id text COLLATE "C"                   -- NULL: it names no patient
);
CREATE INDEX fhir_episodes_patient ON app.fhir_episodes (patient_id);

GRANT SELECT, INSERT, UPDATE ON app.fhir_patients, app.fhir_related_persons, app.fhir_episodes TO postern_api;
GRANT SELECT, INSERT, DELETE ON app.fhir_replacements TO postern_api;

-- +goose Down
DROP TABLE app.fhir_episodes, app.fhir_related_persons, app.fhir_replacements, app.fhir_patients;
