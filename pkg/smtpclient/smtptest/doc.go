// Package smtptest has servers for tests of programs that speak SMTP or LMTP as
// clients: Script plays a written dialogue and complains about every deviation,
// Sink is a polite server that takes everything and remembers it.
//
// It is for tests only. Both listen on loopback, on ports that the kernel
// chooses, and end with the test.
package smtptest
