// Package kill ends the suite's processes with SIGKILL, at random and under load,
// and holds what came of the mail against what was acknowledged: see tests/crash/rig
// for the judge's rules. It also looks for what is left over: files in the spool,
// segments, processes, descriptors.
//
// SIGKILL forgets nothing that was written, so this tests the order of steps
// between processes, and their recovery. tests/crash and tests/crash/power test what
// a power cut forgets.
//
// ROUNDS, SEED and FILBERT_BIN in the environment set the number of kills, the
// seed of all choices, and the programs to test; PAUSE is the seconds between two
// kills (without it some hundred milliseconds); KEEP names a directory in
// which the instance is kept. Without the build tag "crash" it is 20 rounds,
// with it 500.
package kill
