// Package etc holds the files that an installation starts from, and gives the
// install manifest to mtactl, so that what `make install` does and what
// `mtactl check` expects cannot differ.
package etc

import _ "embed" // for the manifest

// Manifest is the install manifest; its head says how it is written.
//
//go:embed manifest
var Manifest string
