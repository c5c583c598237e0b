package smtp

import (
	"strconv"
	"strings"

	"filbert/pkg/untrusted"
)

// LastChunk says whether a BDAT command ends the message.
type LastChunk bool

// The two kinds of chunk.
const (
	MoreChunks LastChunk = false
	Last       LastChunk = true
)

// ParseBDAT reads the argument of BDAT (RFC 3030, section 2): a decimal size,
// and perhaps LAST. A size past 63 bits is refused, not cut: where the chunk
// ends would else be a matter of opinion.
func ParseBDAT(arg untrusted.Text) (size int64, last LastChunk, reply *Reply) {
	digits, rest, spaced := strings.Cut(arg.ForWire(), " ")
	if !isDigits(digits) || spaced && !strings.EqualFold(rest, "LAST") {
		return 0, false, NewReply(501, Status{5, 5, 4}, "Usage: BDAT size [LAST]")
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false, NewReply(501, Status{5, 5, 4}, "Chunk too big")
	}
	return size, LastChunk(spaced), nil
}
