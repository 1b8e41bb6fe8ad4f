// Package slstest is an Alibaba Cloud Log Service (SLS) that runs on a laptop.
//
// It answers the service's wire protocol (PutLogs, GetLogs, GetCursor, PullLogs
// and the calls that manage projects, logstores and indexes; V1 and V4
// signatures are checked), so that any SLS client can be pointed at it, and it
// runs queries of the form "search | SQL" on DuckDB. It stands in for the
// service in `tracewall local`, in rule tests and in backtests; nothing that is
// deployed imports it.
//
// What it takes care to do as the service does, since rules are written against
// that: the range [from, to) in seconds, tokens instead of substrings in the
// search part, 100 rows unless LIMIT says otherwise, values that are all text
// with NULL as "null", values cut at 2 KB for analysis, progress that may be
// Incomplete, integer division, NULL from a regexp_extract that finds nothing.
// A function that it does not have is an error that says so.
//
// Known to differ: SQL is more lenient in types (text compared with a number is
// cast, where the service refuses it) and division by zero is NULL; an index
// holds for logs that are there already; time_series fills no gaps and is refused;
// logs stay until their logstore is deleted.
//
// A query comes from whoever can reach the port, so it is treated as hostile:
// the SQL is taken apart into tokens and written anew from a list of known
// keywords and functions, its parse tree may name no table but log, and DuckDB
// itself has file access switched off and its configuration locked.
//
// The package needs cgo (DuckDB); without cgo it is empty.
package slstest
