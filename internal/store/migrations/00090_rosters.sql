-- +goose Up

-- Rosters: what the directory says of a block of 250 portal users at one moment; see package
-- roster and docs/adr/0056. A digest names its bytes, which the CHECK enforces: an UPDATE of
-- damaged facts or names can only restore them.
CREATE TABLE app.roster_facts (
    digest bytea PRIMARY KEY CHECK (digest = sha256(facts)),
    facts  bytea NOT NULL CHECK (length(facts) > 3)
);
CREATE TABLE app.roster_names (
    digest bytea PRIMARY KEY CHECK (digest = sha256(names)),
    names  bytea NOT NULL CHECK (length(names) > 5)
);
ALTER TABLE app.roster_names ALTER COLUMN names SET STORAGE EXTERNAL; -- random ids do not compress

-- content is the digest over block, facts and names. What comes back has its first root again.
CREATE TABLE app.rosters (
    root    bytea PRIMARY KEY CHECK (length(root) = 32),
    block   integer NOT NULL CHECK (block >= 0),
    content bytea NOT NULL CHECK (length(content) = 32),
    facts   bytea NOT NULL REFERENCES app.roster_facts,
    names   bytea NOT NULL REFERENCES app.roster_names,
    secret  bytea NOT NULL CHECK (length(secret) > 32), -- gives the salts; encrypted with the content key
    made_at timestamptz NOT NULL DEFAULT now(),
    kept    uuid, -- the bundle of the content store that has a copy
    -- Restored from the content store. Its content may have another root by now.
    restored boolean NOT NULL DEFAULT false,
    UNIQUE (block, content, restored)
);

-- The current roster of each block. It is not valid while the block is dirty.
CREATE TABLE app.block_rosters (
    block integer PRIMARY KEY CHECK (block >= 0),
    root  bytea NOT NULL REFERENCES app.rosters
);

-- Blocks that changed since their current roster was made. Each change gives another mark, so
-- that a pass deletes only the marks that it has seen.
CREATE TABLE app.dirty_blocks (
    block integer PRIMARY KEY CHECK (block >= 0),
    mark  bigint NOT NULL
);
CREATE SEQUENCE app.dirty_mark;

GRANT SELECT, INSERT ON app.roster_facts, app.roster_names, app.rosters TO postern_api, postern_fanout;
GRANT SELECT ON app.roster_facts, app.roster_names TO postern_notify;
GRANT SELECT (root, block, content, facts, names) ON app.rosters TO postern_notify;
GRANT UPDATE (kept) ON app.rosters TO postern_fanout;
GRANT UPDATE (facts) ON app.roster_facts TO postern_api, postern_fanout;
GRANT UPDATE (names) ON app.roster_names TO postern_api, postern_fanout;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.block_rosters, app.dirty_blocks TO postern_api, postern_fanout;
GRANT USAGE ON SEQUENCE app.dirty_mark TO postern_api, postern_fanout;

-- +goose StatementBegin
-- Marks are written in the order of blocks, so that two writers do not wait for each other.
CREATE FUNCTION app.mark_dirty(blocks integer[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO app.dirty_blocks (block, mark)
    SELECT block, nextval('app.dirty_mark') FROM (SELECT DISTINCT block FROM unnest(blocks) AS block ORDER BY block) AS b
    ON CONFLICT (block) DO UPDATE SET mark = excluded.mark
$$;

-- A change marks the blocks whose rosters say something else after it, in its transaction. The
-- functions name what a roster says: a column that it begins to say must be added here.
CREATE FUNCTION app.portal_users_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        PERFORM app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM new_rows));
    WHEN 'DELETE' THEN
        PERFORM app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM old_rows));
    ELSE
        PERFORM app.mark_dirty(ARRAY(
            SELECT DISTINCT record.block_of(portal_user_no) FROM old_rows o FULL JOIN new_rows n USING (portal_user_no)
            WHERE (o.portal_user_id, o.active, o.email = '') IS DISTINCT FROM (n.portal_user_id, n.active, n.email = '')));
    END CASE;
    RETURN NULL;
END $$;

CREATE FUNCTION app.links_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        PERFORM app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM new_rows));
    WHEN 'DELETE' THEN
        PERFORM app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM old_rows));
    ELSE
        PERFORM app.mark_dirty(ARRAY(
            SELECT DISTINCT record.block_of(portal_user_no) FROM old_rows o FULL JOIN new_rows n USING (portal_user_no, patient_no, relationship)
            WHERE (o.portal_user_no, o.valid_from, o.valid_until) IS DISTINCT FROM (n.portal_user_no, n.valid_from, n.valid_until)));
    END CASE;
    RETURN NULL;
END $$;

-- A patient who is inserted is in no roster yet: the link to the patient marks its block.
CREATE FUNCTION app.patients_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM old_rows JOIN app.links USING (patient_no)));
    ELSE
        PERFORM app.mark_dirty(ARRAY(
            SELECT DISTINCT record.block_of(portal_user_no) FROM app.links JOIN (
                SELECT patient_no FROM old_rows o FULL JOIN new_rows n USING (patient_no)
                WHERE (o.patient_id, o.status, o.deceased) IS DISTINCT FROM (n.patient_id, n.status, n.deceased)) AS p USING (patient_no)));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION app.directory_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM app.mark_dirty(ARRAY(SELECT block FROM app.block_rosters UNION SELECT record.block_of(portal_user_no) FROM app.portal_users));
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER dirty_insert AFTER INSERT ON app.portal_users REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.portal_users_changed();
CREATE TRIGGER dirty_update AFTER UPDATE ON app.portal_users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.portal_users_changed();
CREATE TRIGGER dirty_delete AFTER DELETE ON app.portal_users REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION app.portal_users_changed();
CREATE TRIGGER dirty_truncate AFTER TRUNCATE ON app.portal_users FOR EACH STATEMENT EXECUTE FUNCTION app.directory_truncated();
CREATE TRIGGER dirty_insert AFTER INSERT ON app.links REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.links_changed();
CREATE TRIGGER dirty_update AFTER UPDATE ON app.links REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.links_changed();
CREATE TRIGGER dirty_delete AFTER DELETE ON app.links REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION app.links_changed();
CREATE TRIGGER dirty_truncate AFTER TRUNCATE ON app.links FOR EACH STATEMENT EXECUTE FUNCTION app.directory_truncated();
CREATE TRIGGER dirty_update AFTER UPDATE ON app.patients REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION app.patients_changed();
CREATE TRIGGER dirty_delete AFTER DELETE ON app.patients REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION app.patients_changed();
CREATE TRIGGER dirty_truncate AFTER TRUNCATE ON app.patients FOR EACH STATEMENT EXECUTE FUNCTION app.directory_truncated();

-- The rosters of a directory from before are made by the first pass.
SELECT app.mark_dirty(ARRAY(SELECT DISTINCT record.block_of(portal_user_no) FROM app.portal_users));

-- +goose Down
DROP TRIGGER dirty_insert ON app.portal_users;
DROP TRIGGER dirty_update ON app.portal_users;
DROP TRIGGER dirty_delete ON app.portal_users;
DROP TRIGGER dirty_truncate ON app.portal_users;
DROP TRIGGER dirty_insert ON app.links;
DROP TRIGGER dirty_update ON app.links;
DROP TRIGGER dirty_delete ON app.links;
DROP TRIGGER dirty_truncate ON app.links;
DROP TRIGGER dirty_update ON app.patients;
DROP TRIGGER dirty_delete ON app.patients;
DROP TRIGGER dirty_truncate ON app.patients;
DROP FUNCTION app.portal_users_changed(), app.links_changed(), app.patients_changed(), app.directory_truncated(), app.mark_dirty(integer[]);
DROP TABLE app.dirty_blocks, app.block_rosters, app.rosters, app.roster_names, app.roster_facts;
DROP SEQUENCE app.dirty_mark;
