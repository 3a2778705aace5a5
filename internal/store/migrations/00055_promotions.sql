-- +goose Up

-- Which history of Postgres this is: its system identifier and its timeline. A failover,
-- and a restore from a base backup, begin another timeline; a restore from a dump has
-- another system; a restart, after a crash too, changes neither. Where the server tells
-- neither, failovers go unnoticed.
-- +goose StatementBegin
DO $$
DECLARE
    body text;
BEGIN
    FOREACH body IN ARRAY ARRAY[
        $f$SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()) || '/' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)$f$,
        $f$SELECT '/' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)$f$,
        $f$SELECT '/'$f$]
    LOOP
        BEGIN
            EXECUTE body;
            EXECUTE format('CREATE FUNCTION app.timeline() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS %L', body);
            RETURN;
        EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported OR object_not_in_prerequisite_state THEN
            NULL;
        END;
    END LOOP;
END $$;
-- +goose StatementEnd

-- The histories that were noticed. The rows go back with everything else, so that after
-- a failover the current one is not among them.
CREATE TABLE app.timelines (
    timeline    text PRIMARY KEY,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,                -- the last commit that the server had when it was promoted; NULL where it doesn't say
    last        bigint,                     -- the last event of the record when a notify worker noticed it
    settled_at  timestamptz,                -- what may have been lost is on the record as unknown; NULL: no alert goes out until then
    CHECK (settled_at IS NULL OR last IS NOT NULL)
);
INSERT INTO app.timelines (timeline, last, settled_at) VALUES (app.timeline(), 0, now());

-- Says whether the current history is settled, and notes it where it is new. A failover
-- can lose rows whose numbers are on the record (a portal user to whom a message was
-- delivered): no number that may have been given before is given again.
-- +goose StatementBegin
CREATE FUNCTION app.notice_timeline() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    settled boolean;
    lost    text;
BEGIN
    SELECT settled_at IS NOT NULL INTO settled FROM app.timelines WHERE timeline = app.timeline();
    IF FOUND THEN
        RETURN settled;
    END IF;
    INSERT INTO app.timelines (timeline, replayed_at) VALUES (app.timeline(), pg_last_xact_replay_timestamp()) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        FOREACH lost IN ARRAY ARRAY[pg_get_serial_sequence('app.portal_users', 'portal_user_no'),
                pg_get_serial_sequence('app.patients', 'patient_no'), 'app.replay_part'] LOOP
            PERFORM setval(lost::regclass, nextval(lost::regclass) + 1000000);
        END LOOP;
    END IF;
    RETURN false;
END $$;
CREATE FUNCTION app.before_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM app.notice_timeline();
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER numbers BEFORE INSERT ON app.portal_users FOR EACH STATEMENT EXECUTE FUNCTION app.before_numbers();
CREATE TRIGGER numbers BEFORE INSERT ON app.patients FOR EACH STATEMENT EXECUTE FUNCTION app.before_numbers();

GRANT SELECT ON app.timelines TO postern_api, postern_notify;
GRANT UPDATE (last, settled_at) ON app.timelines TO postern_notify;

-- +goose Down
DROP TRIGGER numbers ON app.patients;
DROP TRIGGER numbers ON app.portal_users;
DROP FUNCTION app.before_numbers(), app.notice_timeline();
DROP TABLE app.timelines;
DROP FUNCTION app.timeline();
