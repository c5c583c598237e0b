// Package qindex keeps on disk what qmgr's schedule is in memory, so that a start does
// not have to read a million messages before it serves the first.
//
// It promises that what Open tells was put there by an earlier run, in the order in which
// it was put, and that nothing of another file, another version or a damaged block
// passes for it. It promises no more: nothing is flushed, so that Open may tell less than
// was put, and it knows nothing of what happened to the messages since. Who uses it
// asks the spool before he believes it, and may delete it at any time. It never logs.
//
// # Files
//
//	index/schedule    a record for each change of a message's place in the schedule
//	index/addresses   its sender and recipients, once
//
// They are apart as the first can be written anew from memory, and the second is read
// only by who looks for an address. A name that ends in ".new" is unfinished.
//
// Each file is a head and blocks, integers big-endian:
//
//	 0  8  magic "FILBQIX" and the version, one octet
//	 8  8  generation: a random number of this file
//	16  4  CRC-32C of the 16 octets before
//
//	 0  4  length of the block's records
//	 4  4  CRC-32C of the generation, the rest of the block's head, and the records
//	 8  8  moment: all that was known before it stands in this block or before (Unix milliseconds)
//	16  8  generation of the other file (schedule only)
//	24  8  how far the other file was written when this block was
//	32  .. records
//
// record.go has the records. Whoever adds a field to them changes the version: an index of
// another version is made anew.
//
// # What a crash leaves
//
// A block that is torn, and all behind it, is cut off: what is before is what the schedule
// once was. If the file of addresses is not as long as the schedule says, or is not the
// one that it means, no message has addresses.
package qindex
