-- +goose Up

-- Deliveries are kept by block: 250 portal users whose numbers follow one another. Package
-- directory/block says the same to Go, and a test of package store compares the two.
-- +goose StatementBegin
CREATE FUNCTION record.block_of(portal_user_no integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT (portal_user_no - 1) / 250$$;

-- The place of a portal user in the block, from 0 to 249.
CREATE FUNCTION record.place_of(portal_user_no integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT (portal_user_no - 1) % 250$$;

-- Members of a block have one stored form: a byte for each place, ascending, where there are
-- fewer than 32 members; otherwise a bitmap of 32 bytes.
CREATE FUNCTION record.has_member(members bytea, place integer) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE length(members) WHEN 32 THEN get_bit(members, place) = 1 ELSE position(set_byte('\x00', 0, place) IN members) > 0 END$$;

CREATE FUNCTION record.member_count(members bytea) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE length(members) WHEN 32 THEN bit_count(members)::integer ELSE length(members) END$$;

CREATE FUNCTION record.is_members(members bytea) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE WHEN length(members) = 32 THEN bit_count(members) >= 32 AND get_byte(members, 31) < 4
                 WHEN length(members) BETWEEN 1 AND 31 THEN get_byte(members, length(members) - 1) < 250
                      AND NOT EXISTS (SELECT FROM generate_series(1, length(members) - 1) i WHERE get_byte(members, i - 1) >= get_byte(members, i))
                 ELSE false END$$;

-- The numbers of the portal users, ascending.
CREATE FUNCTION record.portal_users_of(block integer, members bytea) RETURNS SETOF integer LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 100
AS $$SELECT block * 250 + place + 1 FROM generate_series(0, 249) place WHERE record.has_member(members, place)$$;

-- The members that a list of portal users of one block is.
CREATE FUNCTION record.members_of(portal_user_nos integer[]) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE WHEN cardinality(portal_user_nos) < 32
    THEN (SELECT string_agg(set_byte('\x00', 0, record.place_of(no)), '' ORDER BY no) FROM unnest(portal_user_nos) no)
    ELSE (SELECT string_agg(set_byte('\x00', 0, coalesce(bits, 0)), '' ORDER BY at)
          FROM generate_series(0, 31) at
          LEFT JOIN (SELECT record.place_of(no) / 8 AS at, bit_or(1 << record.place_of(no) % 8) AS bits FROM unnest(portal_user_nos) no GROUP BY 1) b USING (at))
    END$$;
-- +goose StatementEnd

-- The deliveries of a message to one block of portal users.
CREATE TABLE record.inbox (
    message_id uuid NOT NULL,
    block      integer NOT NULL CHECK (block >= 0),
    -- 0: a message has one row for each block. The first format also began chunks within a
    -- block: that block has a second row, whose part is the number of the chunk.
    part       integer NOT NULL CHECK (part IN (0, chunk)),
    chunk      integer NOT NULL,
    members    bytea NOT NULL CHECK (record.is_members(members)),
    -- On whose account it was delivered: for each member in order, the numbers of the
    -- patients and then a 0; or the root of a roster and a day, from which that follows.
    patients   integer[],
    roster     bytea CHECK (length(roster) = 32),
    day        date,
    opened     integer NOT NULL DEFAULT 0 CHECK (opened BETWEEN 0 AND record.member_count(members)),
    PRIMARY KEY (message_id, block, part),
    CHECK ((roster IS NULL) = (day IS NULL)),
    CHECK ((roster IS NULL) <> (patients IS NULL)),
    CHECK (roster IS NULL OR part = 0)
) WITH (fillfactor = 80); -- opened is counted in place
CREATE INDEX inbox_of_block ON record.inbox (block, message_id) INCLUDE (members);
GRANT SELECT ON record.inbox TO postern_api, postern_fanout, postern_notify;
GRANT SELECT, INSERT, UPDATE, DELETE ON record.inbox TO postern_recorder;

-- How far the deliveries of the first format are carried over, until that is done.
CREATE TABLE record.carried_over (message_id uuid NOT NULL);
INSERT INTO record.carried_over VALUES ('00000000-0000-0000-0000-000000000000');

-- Carries the rows of record.deliveries over, a thousand messages a transaction, in the order
-- of their ids. After a crash it goes on after the last transaction.
-- +goose StatementBegin
CREATE PROCEDURE record.carry_over() LANGUAGE plpgsql AS $$
DECLARE
    done   uuid;
    until  uuid;
    n      bigint;
    total  bigint := (SELECT count(*) FROM record.messages WHERE delivered > 0);
    so_far bigint := 0;
BEGIN
    LOOP
        SELECT message_id INTO done FROM record.carried_over;
        SELECT message_id, place INTO until, n FROM (
            SELECT m.message_id, row_number() OVER (ORDER BY m.message_id) AS place FROM record.messages m
            WHERE m.message_id > done AND m.delivered > 0 ORDER BY m.message_id LIMIT 1000) AS next ORDER BY place DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        INSERT INTO record.inbox (message_id, block, part, chunk, members, patients, opened)
        SELECT d.message_id, d.block, d.part, d.chunk, record.members_of(d.nos), d.patients,
               (SELECT count(*) FROM record.opens o WHERE o.message_id = d.message_id AND o.portal_user_no = ANY(d.nos))
        FROM (SELECT d.message_id, record.block_of(d.portal_user_no) AS block, d.chunk,
                     CASE WHEN d.chunk > 0 AND record.block_of(d.portal_user_no) = record.block_of(c.first_no) THEN d.chunk ELSE 0 END AS part,
                     array_agg(d.portal_user_no ORDER BY d.portal_user_no) AS nos,
                     string_to_array(string_agg(array_to_string(d.patient_nos || 0, ','), ',' ORDER BY d.portal_user_no), ',')::integer[] AS patients
              FROM record.deliveries d JOIN record.chunks c USING (message_id, chunk)
              WHERE d.message_id > done AND d.message_id <= until
              GROUP BY d.message_id, record.block_of(d.portal_user_no), d.chunk, c.first_no) d;
        UPDATE record.carried_over SET message_id = until;
        COMMIT;
        so_far := so_far + n;
        RAISE NOTICE 'carried over the deliveries of % of % messages', so_far, total;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP PROCEDURE record.carry_over();
DROP TABLE record.inbox, record.carried_over;
DROP FUNCTION record.members_of(integer[]), record.portal_users_of(integer, bytea), record.is_members(bytea), record.member_count(bytea),
    record.has_member(bytea, integer), record.place_of(integer), record.block_of(integer);
