// Package pattern matches domains, local parts, addresses and client networks
// against the pattern lists of the configuration, everywhere in the suite in
// the same way.
//
// # Patterns
//
//	example.edu         exactly this name
//	*.example.edu       a glob: * is any run of characters (dots too, none at
//	                    all too), ? is one; so this one is every subdomain at
//	                    any depth, and not example.edu itself
//	*@*.example.edu     the same for addresses
//	<>                  the null sender, in lists of addresses
//	/^mx[0-9]+\./       an RE2 regular expression; it may match anywhere in the
//	                    text unless it says ^ and $
//	192.0.2.0/24        an address or a CIDR range, in lists of networks
//	*                   everything
//	lookup:NAME         what the lookup NAME has (in an Asking list)
//	!pattern            whatever the pattern matches is not in the list
//
// Upper and lower case are the same in all of them; bücher.example and
// xn--bcher-kva.example are one name.
//
// # Order
//
// A list is read from the first pattern to the last. The first that matches
// decides: yes, or no where it stands behind a "!". When none matches the
// answer is no; an empty list contains nothing.
//
// # Refusals
//
// A list is compiled whole or not at all, and every mistake in it is reported,
// not only the first: bad syntax, a pattern that can never be reached because
// "*" stands before it, and a list of exceptions only, which would contain
// nothing whatever its author meant. Matching takes time linear in the text
// for expressions, bounded by both lengths for globs; no text makes it fail.
//
// There is no state and no I/O.
package pattern
