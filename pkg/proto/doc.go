// Package proto is the contract between the suite's programs: every arrow of
// the picture in doc/ARCHITECTURE.md is one file here, with the exchange as a
// numbered dialogue, its messages, their limits and who may call.
//
// Messages are plain structs that write themselves with pkg/wire and travel in
// the frames of pkg/ipc; each kind has a number of its own in kinds.go. A message
// is decoded whole or refused. Text of peers crosses as untrusted.Text.
// Descriptors travel, paths do not.
//
// doc/PROTOCOLS.md is generated from the comments of this package.
package proto
