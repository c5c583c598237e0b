package proto

import "encoding/json"

// ExplainFlag is the argument of router with which it answers BesideQuery on its standard
// input and ends, beside the suite: what a configuration that is not in force
// would do with addresses. mtactl starts it so, as the user of router.
//
//  1. C: BesideQuery, JSON          the settings, and addresses
//  2. S: ExplainAnswer, JSON lines  one for each, in their order
const ExplainFlag = "--explain"

// BesideQuery asks for the routes of addresses under some settings.
type BesideQuery struct {
	Settings json.RawMessage `json:"settings"`
	Queries  []ExplainQuery  `json:"queries"`
}

// MaxBeside bounds the addresses of one BesideQuery.
const MaxBeside = 10_000
