// Package record contains the packages that read the record: finding and following events
// (query), exporting them to files (export), and the retention of content (retention).
// Package recorder writes the tables that they read. It has no code of its own.
package record
