// Package crash holds the tests of what a crash leaves, over more than one
// package: the story of messages from acceptance to removal, on a disk that is
// cut at every single operation.
package crash
