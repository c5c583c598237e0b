//go:build !crash

package kill

// The quick measure, for every run of the tests.
const defaultRounds = 20
