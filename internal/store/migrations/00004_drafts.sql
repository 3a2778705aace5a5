-- +goose Up

-- Messages that are being written. What is in them is sealed like what is sent;
-- the body apart, so that a list of drafts need not open it. The row of a draft
-- is all there is of it: deleting it erases it.
CREATE TABLE app.drafts (
    draft_id    uuid PRIMARY KEY,
    staff_id    text NOT NULL,
    version     integer NOT NULL CHECK (version >= 0),
    page        text NOT NULL,                    -- that saved it last: see draft.Seen
    wrapped_key bytea NOT NULL,
    sealed      bytea NOT NULL,
    sealed_body bytea NOT NULL,
    saved_at    timestamptz NOT NULL
);
CREATE INDEX drafts_author ON app.drafts (staff_id, saved_at DESC, draft_id DESC);
CREATE INDEX drafts_old ON app.drafts (saved_at);

-- The draft that an upload waits in: it is kept as long as that is there.
ALTER TABLE app.attachments ADD COLUMN draft_id uuid REFERENCES app.drafts ON DELETE SET NULL;
CREATE INDEX attachments_draft ON app.attachments (draft_id) WHERE draft_id IS NOT NULL;

-- Where few patients are of a status, a page of those who get a message is found by
-- them.
CREATE INDEX patients_active ON app.patients (patient_no) WHERE status = 'active' AND NOT deceased;
CREATE INDEX patients_discharged ON app.patients (patient_no) WHERE status = 'discharged' OR deceased;

GRANT SELECT, INSERT, UPDATE, DELETE ON app.drafts TO postern_api;

-- +goose Down
DROP INDEX app.patients_active, app.patients_discharged;
ALTER TABLE app.attachments DROP COLUMN draft_id;
DROP TABLE app.drafts;
