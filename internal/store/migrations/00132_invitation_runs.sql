-- +goose Up

-- Runs of invitations: e-mails to many portal users, each with a link to set a first password
-- (ADR 70).
CREATE TABLE record.invitation_runs (
    run_id     uuid PRIMARY KEY,
    seq        bigint NOT NULL,
    people     integer NOT NULL CHECK (people > 0),
    everyone   boolean NOT NULL,                  -- all portal users without an account, not some by name
    status     text NOT NULL CHECK (status IN ('running', 'finished', 'cancelled')),
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_by   text,
    ended_at   timestamptz,
    sent       integer NOT NULL DEFAULT 0,        -- these four are 0 until the run is finished
    skipped    integer NOT NULL DEFAULT 0,
    failed     integer NOT NULL DEFAULT 0,
    unknown    integer NOT NULL DEFAULT 0,
    CHECK ((status = 'running') = (ended_at IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK (sent + skipped + failed + unknown <= people)
);
CREATE INDEX invitation_runs_running ON record.invitation_runs (seq) WHERE status = 'running';
GRANT SELECT ON record.invitation_runs TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.invitation_runs TO postern_recorder;

-- The people of the runs. A row is sending from before its link is made until its e-mail was handed
-- over: after a crash in between it is unknown, and no second e-mail goes out.
CREATE TABLE app.invitations (
    run_id         uuid NOT NULL,
    portal_user_no integer NOT NULL,
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'skipped', 'failed', 'unknown')),
    reason         text NOT NULL DEFAULT '',
    tries          integer NOT NULL DEFAULT 0,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (run_id, portal_user_no),
    CHECK ((state IN ('skipped', 'failed')) = (reason <> ''))
);
CREATE INDEX invitations_open ON app.invitations (run_id, portal_user_no) WHERE state IN ('waiting', 'sending');
GRANT SELECT, INSERT, UPDATE, DELETE ON app.invitations TO postern_api;

-- +goose Down
DROP TABLE app.invitations, record.invitation_runs;
