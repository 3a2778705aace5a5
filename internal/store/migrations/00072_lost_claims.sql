-- +goose Up

-- Why a history of Postgres is not settled. promoted: the server was promoted, or restored
-- into another history. put_back: older files were put back, so that the history is the
-- same, but the recorder's position is behind what the workers have acknowledged. lost:
-- the database was lost and made anew by `postern recover`.
ALTER TABLE app.timelines ADD COLUMN cause text NOT NULL DEFAULT 'promoted' CHECK (cause IN ('promoted', 'put_back', 'lost'));

-- Makes sure that no number of a portal user, a patient or a part of a replay is given
-- that may have been given before rows were lost.
-- +goose StatementBegin
CREATE FUNCTION app.skip_numbers() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    lost text;
BEGIN
    FOREACH lost IN ARRAY ARRAY[pg_get_serial_sequence('app.portal_users', 'portal_user_no'),
            pg_get_serial_sequence('app.patients', 'patient_no'), 'app.replay_part'] LOOP
        PERFORM setval(lost::regclass, nextval(lost::regclass) + 1000000);
    END LOOP;
END $$;

-- Has the current history settled again: claims of alerts up to an event were lost. NULL:
-- up to where the record ends when a notify worker notices it.
CREATE FUNCTION app.unsettle(why text, up_to bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE app.timelines SET cause = why, noticed_at = now(), replayed_at = NULL, last = up_to, settled_at = NULL
    WHERE timeline = app.timeline() AND settled_at IS NOT NULL;
    IF FOUND THEN
        PERFORM app.skip_numbers();
    END IF;
END $$;

-- app.notice_timeline for a worker that knows to which event the recorder had come before.
CREATE FUNCTION app.notice_timeline(reached bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT app.notice_timeline() THEN
        RETURN false;
    END IF;
    IF (SELECT seq FROM record.position) >= reached THEN
        RETURN true;
    END IF;
    PERFORM app.unsettle('put_back', NULL);
    RETURN false;
END $$;

-- The same for the recorder, which knows requests that the record names: where one has no
-- claim, claims were lost.
CREATE FUNCTION app.notice_lost_claims(requests uuid[]) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(requests) r WHERE NOT EXISTS (SELECT FROM app.attempts a WHERE a.request_id = r)) THEN
        RETURN false;
    END IF;
    IF app.notice_timeline() THEN
        PERFORM app.unsettle('put_back', NULL);
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION app.skip_numbers(), app.unsettle(text, bigint), app.notice_timeline(bigint), app.notice_lost_claims(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.notice_timeline(bigint) TO postern_notify;
GRANT EXECUTE ON FUNCTION app.notice_lost_claims(uuid[]) TO postern_recorder;

-- +goose Down
DROP FUNCTION app.notice_lost_claims(uuid[]), app.notice_timeline(bigint), app.unsettle(text, bigint), app.skip_numbers();
ALTER TABLE app.timelines DROP COLUMN cause;
