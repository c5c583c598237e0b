// Package tables opens the lookups of a configuration and asks them.
//
// It promises, whatever a table is: a key that no table can have (too long, not
// text) or that is outside the lookup's domains is not found, without a question;
// keys are asked in their one form (lookup.Key); an answer holds nothing that a
// text file could not (lookup.Usable); an error is temporary and never looks like
// "not found"; and no question takes longer than the lookup's time-out.
//
// Servers have a shield in front: what was answered is used again for a short
// time, found or not; who asks for a key that is being asked for waits for that
// answer; and after a failure of the server others are told so for a second
// instead of each waiting for the time-out. Errors are not remembered longer.
//
// Opening connects to nothing and fails only for what the configuration should
// not have let pass. Files that can't be read, now or later, are told to
// World.Complain once; so is a server for which something is missing here (a
// password, a certificate), and its questions fail until it is opened anew.
//
// It keeps nothing on disk; a crash leaves nothing behind.
package tables
