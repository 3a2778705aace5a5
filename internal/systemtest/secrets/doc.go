// Package secrets looks for what only the readers of a message may know in all that a system
// stores: every file of its data folder, the content store in it, and every row of its database.
package secrets
