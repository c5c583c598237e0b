// Package power cuts the power under the real suite on a real file system, and
// breaks and fills its disk.
//
// The device is served by the command in disk/ (a module of its own), which notes
// every write and flush in order, and between them what the world knew: which
// message was acknowledged, which had reached the remote server. After a run under
// load, with processes killed meanwhile, any moment can be gone back to: the device
// gets all writes before the last flush and a random selection of those behind it,
// is mounted, the suite starts on it and finishes its work, and tests/crash/rig
// judges what arrived. Duplicates are what a power cut may cost; nothing else is.
//
// The tests need root, loop devices, FUSE and mkfs.ext4, and the build tag "crash";
// without one of these they are skipped and say so. STATES and SEED set how many
// moments are gone back to, and which.
package power
