// Package rig is what the crash tests do their work with: an instance of the suite
// with its real processes, a world around it that notes everything, somebody who
// kills, and a judge.
//
// Clients of all kinds (clients.go) send messages that each bear a token of their
// own, and note exactly which were acknowledged (ledger.go). A remote server
// (sink.go) refuses, defers and drops at random. Processes are killed in rounds
// (rounds.go). When the world has calmed down and the suite has finished its work,
// each copy that was delivered is collected (copies.go) and judged (judge.go):
//
//   - every acknowledged message has reached every recipient, or a report about
//     him has reached the sender;
//   - a copy is the whole message, octet for octet;
//   - a message that was never handed in whole, or that was refused for good, has
//     reached nobody; one whose answer was lost has reached all or nobody;
//   - more copies than one have an excuse.
package rig
