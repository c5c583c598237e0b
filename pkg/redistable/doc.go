// Package redistable asks Redis or Valkey for the values of a key.
//
// The query of the settings is the name of a Redis key, "alias:{key}"; without
// one it is the key alone. A string gives one value, a list its elements in
// order, a set its members sorted, a sorted set its members by score. A hash or a
// stream is an error: nobody could say which of it is meant. A key that is not
// there is not found, anything else that goes wrong is an error, and temporary.
//
// Open connects to nobody. Servers are tried in order; connections are kept,
// bounded in number, and replaced when they break. Values, octets and time are
// bounded, and what a string is too long for is not fetched.
//
// Certificates are verified; a Unix socket needs none. No environment variable is
// obeyed, and the library's log goes nowhere. It asks with RESP2 and sends
// nothing but what was asked for (no client names, no subscriptions), so that an
// account with @connection and the commands TYPE, GET, GETRANGE, LRANGE, SCARD,
// SMEMBERS and ZRANGE is enough.
//
// A crash leaves nothing.
package redistable
