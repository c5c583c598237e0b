// Package cdb reads and writes constant databases: D. J. Bernstein's format, as
// cdbmake, tinycdb and postmap write it, and a lookup table on top.
//
// # The file
//
// All numbers are 32 bits, little end first. 256 pairs (place, slots) of hash
// tables; then the records, each as length of key, length of data, key, data; then
// the hash tables, whose slots are pairs (hash, place of the record, 0 = free). The
// hash of a key is h = 5381, then h*33 ^ octet for each; its low 8 bits choose the
// table, the others the first slot. A file has at most 4 GB; a key may be there
// several times.
//
// # Promises
//
// A Reader reads some hundred octets for a question and keeps nothing but the
// pairs at the beginning: a database of any size costs 2 KB of memory. It uses no
// memory maps, in which a file that somebody cuts off is a crash. Every place and
// length in the file is checked before it is used, and the number of slots and
// records that one question may look at is bounded: no file, however it was made,
// makes it wait, allocate or answer wrongly with more than an error.
//
// The Table takes a new version of the file whole or not at all, and says once
// why it keeps the old one. While somebody writes over the file in place, which
// cdbmake never does, its questions fail: a temporary error, never "not found".
//
// A Writer makes a file beside the old one; Commit puts it in its place after its
// content is on the disk. A crash leaves the old file, and perhaps one with ".tmp"
// at the end of its name, which the next Writer replaces.
package cdb
