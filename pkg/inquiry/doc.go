// Package inquiry asks router the lookups of the configuration for one message: what
// its addresses become, or which rule is for it.
//
// It promises that each key is asked once, that all waits of a message together are
// bounded, and so is the number of its keys: a header can name thousands of addresses,
// and each key may be a search in a directory. What a lookup can't tell at the moment is an
// error, and never "it has no such key". Errors are not remembered: whoever asks again
// may get an answer.
//
// It keeps nothing beyond the message, and a crash leaves nothing behind.
package inquiry
