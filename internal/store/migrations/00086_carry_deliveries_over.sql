-- +goose NO TRANSACTION
-- +goose Up
CALL record.carry_over();
