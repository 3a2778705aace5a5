// Package routes calls every route of the pages and of the API as every kind of caller, and
// compares the answers with a table that is written by hand: who may call the route, and what
// people get for the objects of others. The table is a second opinion. It takes nothing from
// package policy, so a change there that opens a route fails here.
package routes
