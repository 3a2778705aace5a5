-- +goose Up
-- The check of record.inbox. A function in SQL that has a query is planned again for each
-- statement that writes a row, which took longer than writing it. PL/pgSQL is compiled once for
-- each session. It accepts the same values.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record.is_members(members bytea) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF length(members) = 32 THEN
        RETURN bit_count(members) >= 32 AND get_byte(members, 31) < 4;
    END IF;
    IF length(members) NOT BETWEEN 1 AND 31 THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. length(members) - 1 LOOP
        IF get_byte(members, i - 1) >= get_byte(members, i) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN get_byte(members, length(members) - 1) < 250;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record.is_members(members bytea) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$SELECT CASE WHEN length(members) = 32 THEN bit_count(members) >= 32 AND get_byte(members, 31) < 4
                 WHEN length(members) BETWEEN 1 AND 31 THEN get_byte(members, length(members) - 1) < 250
                      AND NOT EXISTS (SELECT FROM generate_series(1, length(members) - 1) i WHERE get_byte(members, i - 1) >= get_byte(members, i))
                 ELSE false END$$;
-- +goose StatementEnd
