// Package ipc carries the arrows between Filbert's programs: requests,
// answers and notices over one Unix stream socket, many under way at once,
// answers in any order.
//
// # Frames
//
// A frame is a 16-byte header and a payload, all integers big-endian:
//
//	u32 length of the payload
//	u64 id of the call (an answer carries its call's; a notice carries 0)
//	u16 kind of the message, a number of pkg/proto
//	u8  role: hello, call, reply, refusal, notice
//	u8  descriptors that ride with this frame
//
// The first frame each way is a hello: the version of this format, how many
// calls the speaker will hold at once (its credits), and the largest payload
// it accepts. A frame with descriptors is sent by a sendmsg(2) of its own, so
// that the kernel ties them to its first byte; frames without are gathered
// from all writers and sent in one call.
//
// # Promises
//
//   - A call is answered exactly once: by the peer's reply, by its refusal
//     (*RemoteError), or with ErrGone when the connection ends. All three
//     errors are temporary; what to do about it is the caller's decision.
//   - Sending never blocks on a slow peer, so that two read loops can never
//     wait for each other; memory is bounded by credits instead. A peer that
//     reads nothing for writeStall is given up.
//   - A payload belongs to who receives it and is never reused. Each is one
//     allocation of its exact size: a recycled buffer would save about a
//     microsecond for a message of 5 KiB and cost us a class of bugs in which
//     one user's mail shows up in another's.
//   - Descriptors are duplicated when they are handed to Call, Go or Reply:
//     the caller keeps its own and may close them at once. Received ones
//     belong to the receiver, who closes them.
//
// # Refusals
//
// A frame that is too long, of an unknown role, without the descriptors that
// it promises, a call beyond the credits granted, a payload that does not
// decode to its last byte: each ends that connection, and only that one.
//
// A crash leaves nothing behind: there is no state outside the two processes.
package ipc
