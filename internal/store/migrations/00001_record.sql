-- +goose Up

-- Two schemas. `record` is what the record says: written by the recorder alone,
-- in stream order, and rebuilt from the stream at will. `app` is everything
-- else. Times in `record` are those of the events, never of this database, so
-- that a rebuild gives the same bytes.
CREATE SCHEMA record;
CREATE SCHEMA app;

-- Group roles, one a process; see docs/security.md. A process takes its role on
-- with SET ROLE, so the login role of DATABASE_URL must be a member of it.
-- Roles belong to the cluster: another database may have made them already.
-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['postern_api', 'postern_fanout', 'postern_notify', 'postern_recorder'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
-- +goose StatementEnd

GRANT USAGE ON SCHEMA record, app TO postern_api, postern_fanout, postern_notify, postern_recorder;
-- Every role waits for the schema by reading its version.
GRANT SELECT ON goose_db_version TO PUBLIC;

-- The second copy of the record: every event whole, as stored in the stream.
CREATE TABLE record.events (
    seq        bigint PRIMARY KEY,
    id         uuid,                          -- NULL: what stands there is not an event of ours
    type       text NOT NULL,
    actor      text NOT NULL,
    time       timestamptz,
    message_id uuid,
    repeats    bigint,                        -- the first event with this id; only the first counts
    projected  boolean NOT NULL,              -- false: kept and hashed, but nothing was made of it
    leaf       bytea NOT NULL,                -- RFC 6962 leaf hash; record.Leaf
    stored     bytea NOT NULL                 -- zstd of subject, headers and body; record.pack
);
ALTER TABLE record.events ALTER COLUMN stored SET STORAGE EXTERNAL;
CREATE INDEX events_id ON record.events (id);
CREATE INDEX events_message ON record.events (message_id, seq) WHERE message_id IS NOT NULL;

-- How far the recorder has come. One row.
CREATE TABLE record.position (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    seq  bigint NOT NULL
);
INSERT INTO record.position (seq) VALUES (0);

CREATE TABLE record.messages (
    message_id      uuid PRIMARY KEY,
    seq             bigint NOT NULL,
    sender_id       text NOT NULL,
    recipients      jsonb NOT NULL,
    attachments     jsonb NOT NULL,
    subject_digest  text NOT NULL,
    body_digest     text NOT NULL,
    status          text NOT NULL CHECK (status IN ('scheduled', 'sending', 'sent', 'cancelled', 'recalled')),
    hold            text NOT NULL CHECK (hold IN ('none', 'undo', 'scheduled')),
    bulk            boolean NOT NULL,
    sent_at         timestamptz NOT NULL,
    release_at      timestamptz NOT NULL,
    released_at     timestamptz,
    cancelled_at    timestamptz,
    completed_at    timestamptz,
    recalled_at     timestamptz,
    recall_reason   text,
    manifest_digest text,
    audience        integer,                  -- frozen count; NULL until then
    delivered       integer NOT NULL DEFAULT 0,
    alert_accepted  integer NOT NULL DEFAULT 0,
    alert_failed    integer NOT NULL DEFAULT 0,
    alert_skipped   integer NOT NULL DEFAULT 0,
    alert_unknown   integer NOT NULL DEFAULT 0,
    opened          integer NOT NULL DEFAULT 0,
    CHECK (status <> 'scheduled' OR (hold <> 'none' AND released_at IS NULL)),
    CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
    CHECK ((status = 'recalled') = (recalled_at IS NOT NULL)),
    CHECK (status <> 'sent' OR completed_at IS NOT NULL),
    CHECK (status <> 'cancelled' OR delivered = 0),
    CHECK (alert_accepted + alert_failed + alert_skipped + alert_unknown <= delivered),
    CHECK (opened <= delivered)
) WITH (fillfactor = 50);
CREATE INDEX messages_due ON record.messages (release_at) WHERE status = 'scheduled';
CREATE INDEX messages_sender ON record.messages (sender_id, message_id);

CREATE TABLE record.message_bcc (
    staff_id   text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (staff_id, message_id)
);

-- An alert's state is kept a chunk at a time; alert_exceptions holds the
-- recipients whose alert went otherwise than their chunk's.
CREATE TABLE record.chunks (
    message_id    uuid NOT NULL,
    chunk         integer NOT NULL,
    seq           bigint NOT NULL,
    first_no      integer NOT NULL,
    last_no       integer NOT NULL,
    deliveries    integer NOT NULL CHECK (deliveries > 0),
    delivered_at  timestamptz NOT NULL,
    alert_state   text NOT NULL DEFAULT 'pending'
                  CHECK (alert_state IN ('pending', 'accepted', 'failed', 'skipped', 'unknown')),
    alert_reason  text NOT NULL DEFAULT '',
    alert_attempt integer NOT NULL DEFAULT 0,
    alert_at      timestamptz,
    PRIMARY KEY (message_id, chunk),
    CHECK ((alert_state = 'pending') = (alert_at IS NULL))
) WITH (fillfactor = 50);

CREATE TABLE record.deliveries (
    message_id     uuid NOT NULL,
    portal_user_no integer NOT NULL,
    chunk          integer NOT NULL,
    patient_nos    integer[] NOT NULL,        -- the links under which it may be read
    PRIMARY KEY (message_id, portal_user_no)
);
CREATE INDEX deliveries_inbox ON record.deliveries (portal_user_no, message_id);

CREATE TABLE record.alert_exceptions (
    message_id     uuid NOT NULL,
    portal_user_no integer NOT NULL,
    chunk          integer NOT NULL,
    state          text NOT NULL CHECK (state IN ('accepted', 'failed', 'skipped', 'unknown')),
    reason         text NOT NULL,
    attempt        integer NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (message_id, portal_user_no)
);

CREATE TABLE record.opens (
    message_id     uuid NOT NULL,
    portal_user_no integer NOT NULL,
    opened_at      timestamptz NOT NULL,
    PRIMARY KEY (message_id, portal_user_no)
);

CREATE TABLE record.downloads (
    seq            bigint PRIMARY KEY,
    message_id     uuid NOT NULL,
    portal_user_no integer NOT NULL,
    attachment_id  uuid NOT NULL,
    downloaded_at  timestamptz NOT NULL
);
CREATE INDEX downloads_message ON record.downloads (message_id, portal_user_no);

CREATE TABLE record.staff (
    staff_id   text PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE record.staff_permissions (
    staff_id   text NOT NULL,
    permission text NOT NULL,
    granted_at timestamptz NOT NULL,
    granted_by text NOT NULL,
    PRIMARY KEY (staff_id, permission)
);

CREATE TABLE record.labels (
    label      text PRIMARY KEY,
    one        text NOT NULL,
    many       text NOT NULL,
    changed_at timestamptz NOT NULL
);

-- What became of one delivery: pages and the API read this.
CREATE VIEW record.delivery_status AS
SELECT d.message_id,
       d.portal_user_no,
       d.chunk,
       d.patient_nos,
       c.delivered_at,
       coalesce(x.state, c.alert_state)     AS alert_state,
       coalesce(x.reason, c.alert_reason)   AS alert_reason,
       coalesce(x.attempt, c.alert_attempt) AS alert_attempts,
       coalesce(x.at, c.alert_at)           AS alert_at,
       o.opened_at
FROM record.deliveries d
JOIN record.chunks c USING (message_id, chunk)
LEFT JOIN record.alert_exceptions x USING (message_id, portal_user_no)
LEFT JOIN record.opens o USING (message_id, portal_user_no);

GRANT SELECT ON ALL TABLES IN SCHEMA record TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA record TO postern_recorder;
REVOKE DELETE, UPDATE ON record.events FROM postern_recorder;

-- What the recorder found when it last held the stream against the copy. While
-- ok is false no message can be sent: see `postern repair`.
CREATE TABLE app.record_check (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    ok         boolean NOT NULL,
    detail     text NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON app.record_check TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE ON app.record_check TO postern_recorder;

-- Events that are written in a transaction of something else (an import) wait
-- here until the recorder has published them. Deterministic ids make a second
-- publishing harmless.
CREATE TABLE app.outbox (
    id         uuid PRIMARY KEY,
    header     jsonb NOT NULL,
    data       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A send, claimed before its message.sent is published. The row makes a retry
-- with the same Idempotency-Key the same message with the same times.
CREATE TABLE app.sends (
    staff_id        text NOT NULL,
    idempotency_key text NOT NULL,
    request_digest  bytea NOT NULL,
    message_id      uuid NOT NULL UNIQUE,
    status          text NOT NULL,
    sent_at         timestamptz NOT NULL,
    release_at      timestamptz NOT NULL,
    PRIMARY KEY (staff_id, idempotency_key)
);

-- The sealed header of a message (subject, names and keys of its attachments)
-- and the wrapped key of all its content. Without the key nothing of it can be
-- read again, wherever a copy may lie.
CREATE TABLE app.message_content (
    message_id  uuid PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Uploads, before and after they are sent.
CREATE TABLE app.attachments (
    attachment_id uuid PRIMARY KEY,
    staff_id      text NOT NULL,
    wrapped_key   bytea NOT NULL,
    sealed_name   bytea NOT NULL,
    size          bigint NOT NULL CHECK (size BETWEEN 1 AND 4194304),
    media_type    text NOT NULL,
    sha256        bytea NOT NULL,
    uploaded_at   timestamptz NOT NULL DEFAULT now()
);

-- A call of SendGrid, claimed before it is made: the unique key is what keeps
-- two workers, or one worker twice, from making it. recipients is a bitmap over
-- the chunk's deliveries in order of portal_user_no. An attempt without an
-- answer whose claimer is gone is one whose answer was never learned.
CREATE TABLE app.attempts (
    message_id  uuid NOT NULL,
    chunk       integer NOT NULL,
    attempt     integer NOT NULL,
    request     integer NOT NULL,
    request_id  uuid NOT NULL UNIQUE,
    claimed_by  uuid NOT NULL,
    recipients  bytea NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    answer      text CHECK (answer IN ('accepted', 'refused', 'again', 'unknown')),
    sendgrid_id text NOT NULL DEFAULT '',
    refusals    jsonb,
    answered_at timestamptz,
    PRIMARY KEY (message_id, chunk, attempt, request),
    CHECK ((answer IS NULL) = (answered_at IS NULL))
);

-- Chunks whose alerts wait longer than a handler may: after a rate limit, or
-- while SendGrid is away.
CREATE TABLE app.alert_retries (
    message_id uuid NOT NULL,
    chunk      integer NOT NULL,
    chunks     integer NOT NULL,
    seq        bigint NOT NULL,
    due_at     timestamptz NOT NULL,
    tries      integer NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (message_id, chunk)
);
CREATE INDEX alert_retries_due ON app.alert_retries (due_at);

-- Events that a consumer could not handle after its tries.
CREATE TABLE app.parked (
    parked_id  uuid PRIMARY KEY,
    consumer   text NOT NULL,
    seq        bigint NOT NULL,
    event_id   uuid,
    type       text NOT NULL,
    message_id uuid,
    tries      integer NOT NULL,
    reason     text NOT NULL,
    stack      text NOT NULL DEFAULT '',
    parked_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer, seq)
);

-- What a damaged stream still held beyond the copy, while it is being repaired.
CREATE TABLE app.repair_tail (
    nr       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    stored   bytea NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON app.outbox, app.parked TO postern_api, postern_recorder;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.sends, app.message_content, app.attachments TO postern_api;
GRANT SELECT ON app.attempts, app.alert_retries TO postern_api;
GRANT SELECT, INSERT ON app.parked TO postern_fanout;
GRANT SELECT, INSERT ON app.parked TO postern_notify;
GRANT SELECT, INSERT, UPDATE ON app.attempts TO postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.alert_retries TO postern_notify;
-- A manifest's key is needed by whichever worker goes on with a fan-out.
CREATE TABLE app.manifest_keys (
    message_id  uuid PRIMARY KEY,
    wrapped_key bytea NOT NULL
);
GRANT SELECT, INSERT ON app.manifest_keys TO postern_fanout;
GRANT SELECT, DELETE ON app.manifest_keys TO postern_api;

-- +goose Down
DROP SCHEMA app CASCADE;
DROP SCHEMA record CASCADE;
