// Package durable is the floor that the spool stands on: files and names in one
// directory tree, with each step that a power cut can fall between as a call of
// its own.
//
// It promises its callers three things. A nil error of File.Datasync means that
// the bytes written before it, and the length that is needed to read them, are
// on stable storage. A nil error of FS.SyncDir means the same for the names in
// that directory. Nothing else means anything: bytes and names that were not
// flushed may be there after a power cut, wholly, partly, or not at all, in any
// combination.
//
// It refuses names that leave the tree: absolute ones, those with "..", and
// whatever a symbolic link or a mount would lead elsewhere (openat2 with
// RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV). The tree is held by a
// descriptor, so that it works the same after chroot and under Landlock.
//
// It never tries a failed flush again: Linux drops the pages of a failed
// fdatasync and says yes the next time. What to do instead is the caller's
// decision (retire the file, write another).
//
// FS is an interface so that crashfs can stand in for the disk and forget, in
// tests, all that the promises above allow it to forget.
package durable
