// Package crashfs is a durable.FS in memory that forgets what a power cut may
// forget. Tests run a protocol on it, cut it at every single operation, and look
// at what is left.
//
// It promises to keep exactly what durable promises: bytes before a successful
// Datasync, names before a successful SyncDir. Of everything else any part may
// survive: each 512-byte sector by itself in any of the states it had since the
// last flush, any of the lengths a file had, any subset of the names. Of a rename,
// the new name, or both, or the old one alone; not neither, unless the old
// name's directory was flushed before the new one's.
//
// It is harsher than most disks on purpose: the flush of a file does not make its
// name durable, and later writes survive where earlier ones are lost.
//
// It refuses to go on after a cut: every call returns ErrCut until Restart gives
// another FS with what survived.
package crashfs
