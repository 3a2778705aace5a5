package store

// NewProvider is for tests that stop between two migrations.
var NewProvider = newProvider
