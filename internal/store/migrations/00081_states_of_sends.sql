-- +goose Up

-- Every column that holds a state names its values.
ALTER TABLE app.sends ADD CHECK (status IN ('claimed', 'published'));

-- +goose Down
ALTER TABLE app.sends DROP CONSTRAINT sends_status_check;
