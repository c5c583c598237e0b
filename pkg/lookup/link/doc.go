// Package link connects to the servers of lookups: TCP or a Unix socket, with
// TLS where the settings ask for it.
//
// It promises that a certificate is verified, by the name in the settings, and
// that no server sends without end into a client library. It stands apart from
// lookup for the sake of the programs that read tables in files and link no TLS.
//
// It refuses to connect without TLS where TLS is asked for. A crash leaves
// nothing.
package link
