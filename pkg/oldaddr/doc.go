// Package oldaddr reads ways of writing addresses that are older than the
// Internet's, where the configuration asks for them (domains.syntax):
//
//	percent   user%host@here    means user@host; user%a%b@here means user%a@b
//	bang      host!user@here    means user@host; a!b!user@here means b!user@a
//
// and so on while the domain that comes out is ours and the local part has more to
// tell.
//
// # Promises
//
// Only an address of a domain that the caller calls ours is read so: what stands in
// the local parts of others is theirs to read (RFC 5321, section 2.4). The result
// is an address as strict as any, and has fewer separators than what it was made of,
// so that the work is bounded. No syntax is on unless it is named.
//
// # Refusals
//
// It decides nothing about relaying: the caller puts the result through the same
// decision as an address that came like that (RFC 5321, appendix F.2, has no other
// advice for explicit routes than not to follow them). What can be read in two ways is
// refused as ErrDoubtful, not guessed: both separators at once, a local part in
// quotes, an empty user or host, a host that is no domain.
package oldaddr
