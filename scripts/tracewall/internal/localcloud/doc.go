// Package localcloud is both clouds on one laptop: an embedded Redis, the local Log
// Service, an AWS WAF with a web ACL that already has rules of somebody's own, Function
// Compute's API, and the three functions, built as they are deployed and running as child processes
// behind their runtime APIs. Everything listens on loopback only and ends with Close.
//
// It knows nothing of stories and reports: it starts things, hands events to functions
// and gives back what they answer. Without cgo only Build is left of it, since the Log
// Service needs DuckDB.
package localcloud
