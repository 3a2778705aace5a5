package store

import (
	"database/sql"

	"github.com/pressly/goose/v3"
)

// NewProvider is for tests that stop between two migrations.
func NewProvider(databaseURL string) (*goose.Provider, *sql.DB, error) {
	return newProvider(databaseURL, nil)
}
