// Package mailaddr is the mail address: how it is read from an SMTP command,
// a header field or an alias file, how it is kept, and how it is written.
//
// It promises that an Address is either the null address (its zero value) or
// was accepted whole by the grammar: a mailbox (RFC 5321, section 4.1.2, with
// UTF-8 as in RFC 6531, section 3.3), or, where the caller asked for that, a
// local part alone. An Address is kept in one canonical form, so that == and
// map keys mean "the same mailbox", and what String writes is read back as the
// same Address. A header's address lists are read in linear time with the
// place of every address in the text.
//
// It refuses whatever is doubtful instead of repairing it: controls and NUL,
// invisible and direction-changing characters, empty labels, unknown address
// literals, domains that look like an IPv4 address without its brackets, an
// empty quoted local part. A local part that is accepted may still hold any
// printable character (spaces, slashes, quotes, shell metacharacters): who
// uses it in a path or an argument asks pkg/untrusted.
package mailaddr
