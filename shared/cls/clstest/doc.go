// Package clstest is a Tencent Cloud Log Service (CLS) that runs on a laptop.
//
// It answers SearchLog of 2020-10-16 over HTTP (TC3-HMAC-SHA256 signatures are
// checked, errors come with HTTP 200, parameters that the API does not have are
// refused) for queries "CQL | SQL", and runs them on the engine of package
// slstest: the query is checked against what CLS documents, written anew in the
// Log Service's dialect (dialect.go, search.go), and its rows are written as CLS
// writes them (records.go). It stands in for the service in rule tests and in
// tests of the functions; nothing that is deployed imports it.
//
// Where the documents leave something open, it takes the careful side, so that a
// rule that runs here relies on nothing that is UNVERIFIED: a table cannot be
// named (CLS shows none in FROM), WITH and comments are refused, LIMIT above
// 10,000 is an error, a function must be in CLS's list, and what stands behind the
// first 10,000 rows can be withheld (Faults.CapRows).
//
// Known to differ: only searches that are analysed (UseNewAnalysis with SQL, one
// topic, CQL) are answered, everything else is UnsupportedOperation; times count in
// whole seconds; values are cut at 16,384 bytes for SQL, where CLS cuts at 32,766;
// histogram, time_series and casts to timestamp are refused; and what slstest does
// otherwise than Presto.
//
// The package needs cgo (DuckDB); without cgo it is empty.
package clstest
