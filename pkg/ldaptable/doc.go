// Package ldaptable asks an LDAP directory for the values of a key.
//
// The query of the settings is a filter, "(mail={key})"; {key}, {local_part} and
// {domain} may stand in it and in the base, on the right of a "=", and are escaped
// (RFC 4515, section 3, and RFC 4514, section 2.4), so that they are never part of
// the language. The answer is the values of the attributes, in the order of the
// entries and then of the attributes; without attributes an entry is found and
// gives no value. A base that does not exist is not found when something of the
// key is in it, and else a mistake.
//
// An answer is whole or an error: a directory that cuts it off at a limit of its
// own has not answered, nor has one that sends us to another server for a part of
// it, unless the settings say that nothing is wanted from there. Referrals are not
// followed, aliases are not looked through, and no more than one entry for each value that an answer may have is
// taken.
//
// Open connects to nobody. Servers are tried in order; connections are kept,
// bounded in number, and replaced when they break, with a question that was lost
// on an old one asked once more.
//
// # Security
//
// A user name without a password is refused: a server would take it as anonymous
// and say that all is well (RFC 4513, section 5.1.2). Certificates are verified.
// No configuration file and no environment variable of other LDAP clients is
// obeyed, and the library's log goes nowhere.
//
// A crash leaves nothing.
package ldaptable
