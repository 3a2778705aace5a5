-- +goose Up

-- A roster that nothing cites may be deleted: a daily feed makes new ones for most blocks. A state
-- of the directory cites its rosters. Those from before this column count as cited.
ALTER TABLE app.rosters ADD COLUMN cited boolean NOT NULL DEFAULT true;
ALTER TABLE app.rosters ALTER COLUMN cited SET DEFAULT false;
CREATE INDEX rosters_uncited ON app.rosters (made_at) WHERE NOT cited AND kept IS NULL;
-- To see whether an object is still used.
CREATE INDEX rosters_facts ON app.rosters (facts);
CREATE INDEX rosters_names ON app.rosters (names);

-- The roles may neither delete rosters nor change them, except by these functions.

-- +goose StatementBegin
-- Marks rosters as cited, and returns how many of them there are. A row that is being deleted is
-- waited for, and then it is not counted. Each statement sees what was committed before it, and
-- rows are locked in one order.
CREATE FUNCTION app.cite_rosters(roots bytea[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM FROM app.rosters WHERE root = ANY (roots) AND NOT cited ORDER BY root FOR UPDATE;
    UPDATE app.rosters SET cited = true WHERE root = ANY (roots) AND NOT cited;
    RETURN (SELECT count(*) FROM app.rosters WHERE root = ANY (roots) AND cited);
END $$;

-- Deletes rosters that are older than a day and are not current, not cited and not copied to the
-- content store, with the facts and names that no other roster uses. Objects are locked before
-- rosters, as whoever stores rosters does: a roster that is stored again in the meantime is
-- there when its objects are looked for.
CREATE FUNCTION app.delete_uncited_rosters(most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    roots    bytea[];
    of_facts bytea[];
    of_names bytea[];
    deleted  bigint;
BEGIN
    SELECT array_agg(u.root), array_agg(u.facts), array_agg(u.names) INTO roots, of_facts, of_names FROM (
        SELECT r.root, r.facts, r.names FROM app.rosters r
        WHERE NOT r.cited AND r.kept IS NULL AND r.made_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM app.block_rosters b WHERE b.block = r.block AND b.root = r.root)
        ORDER BY r.made_at LIMIT most) u;
    PERFORM FROM app.roster_facts WHERE digest = ANY (of_facts) ORDER BY digest FOR UPDATE;
    PERFORM FROM app.roster_names WHERE digest = ANY (of_names) ORDER BY digest FOR UPDATE;
    PERFORM FROM app.rosters WHERE root = ANY (roots) ORDER BY root FOR UPDATE;
    DELETE FROM app.rosters r WHERE r.root = ANY (roots) AND NOT r.cited AND r.kept IS NULL
        AND NOT EXISTS (SELECT FROM app.block_rosters b WHERE b.block = r.block AND b.root = r.root);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    DELETE FROM app.roster_facts f WHERE f.digest = ANY (of_facts) AND NOT EXISTS (SELECT FROM app.rosters r WHERE r.facts = f.digest);
    DELETE FROM app.roster_names n WHERE n.digest = ANY (of_names) AND NOT EXISTS (SELECT FROM app.rosters r WHERE r.names = n.digest);
    RETURN deleted;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION app.cite_rosters(bytea[]), app.delete_uncited_rosters(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.cite_rosters(bytea[]), app.delete_uncited_rosters(integer) TO postern_fanout;

-- +goose Down
DROP FUNCTION app.cite_rosters(bytea[]), app.delete_uncited_rosters(integer);
DROP INDEX app.rosters_uncited, app.rosters_facts, app.rosters_names;
ALTER TABLE app.rosters DROP COLUMN cited;
