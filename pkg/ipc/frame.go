package ipc

import (
	"encoding/binary"

	"filbert/pkg/wire"
)

// Message is what travels in a frame. The types are in pkg/proto.
type Message interface {
	// Kind is the number of this type, unique among the messages of its arrow.
	Kind() uint16
	// EncodeTo appends the message.
	EncodeTo(*wire.Encoder)
	// DecodeFrom reads it back; the error stays in the decoder.
	DecodeFrom(*wire.Decoder)
}

// Limits of the format. They are ours alone: both ends are of one release.
const (
	version    = 1
	headerSize = 16

	// DefaultMaxFrame is the largest payload accepted where Options says
	// nothing: a small message with its envelope fits many times over,
	// larger content travels as a descriptor.
	DefaultMaxFrame = 1 << 20

	// DefaultCredits is how many calls one connection may have under way
	// where Options says nothing.
	DefaultCredits = 256

	// MaxFiles is how many descriptors may ride with one frame.
	MaxFiles = 32

	maxRefusal = 1024
)

// role says what a frame is for.
type role uint8

const (
	roleHello role = iota + 1
	roleCall
	roleReply
	roleRefusal
	roleNotice
	roleEnd // one past the last
)

// header is the decoded first headerSize bytes of a frame.
type header struct {
	length uint32
	id     uint64
	kind   uint16
	role   role
	files  uint8
}

// parseHeader reads b, which holds at least headerSize bytes, and refuses
// what no frame may say.
func parseHeader(b []byte, maxFrame uint32) (header, error) {
	h := header{
		length: binary.BigEndian.Uint32(b[0:]),
		id:     binary.BigEndian.Uint64(b[4:]),
		kind:   binary.BigEndian.Uint16(b[12:]),
		role:   role(b[14]),
		files:  b[15],
	}
	switch {
	case h.length > maxFrame:
		return h, violation("frame of %d bytes where at most %d may be", h.length, maxFrame)
	case h.role == 0 || h.role >= roleEnd:
		return h, violation("frame of unknown role %d", h.role)
	case h.files > MaxFiles:
		return h, violation("frame with %d descriptors where at most %d may be", h.files, MaxFiles)
	case (h.role == roleHello || h.role == roleNotice) != (h.id == 0):
		return h, violation("frame of role %d with id %d", h.role, h.id)
	}
	return h, nil
}

// put writes h into the first headerSize bytes of b.
func (h header) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:], h.length)
	binary.BigEndian.PutUint64(b[4:], h.id)
	binary.BigEndian.PutUint16(b[12:], h.kind)
	b[14] = byte(h.role)
	b[15] = h.files
}

// encodeFrame appends a whole frame to e.
func encodeFrame(e *wire.Encoder, h header, m Message) {
	var blank [headerSize]byte
	start := len(e.Buf)
	e.Buf = append(e.Buf, blank[:]...)
	if m != nil {
		m.EncodeTo(e)
	}
	h.length = uint32(len(e.Buf) - start - headerSize)
	h.put(e.Buf[start:])
}

// decodeMessage reads payload into m and insists on the last byte.
func decodeMessage(payload []byte, m Message) error {
	d := wire.NewDecoder(payload)
	m.DecodeFrom(d)
	return d.Finish()
}

// hello is the first frame each way.
type hello struct {
	version  uint8
	credits  uint32 // calls that the speaker will hold at once
	maxFrame uint32 // largest payload that the speaker accepts
}

// Kind implements Message.
func (*hello) Kind() uint16 { return 0 }

// EncodeTo implements Message.
func (h *hello) EncodeTo(e *wire.Encoder) {
	e.U8(h.version)
	e.U32(h.credits)
	e.U32(h.maxFrame)
}

// DecodeFrom implements Message.
func (h *hello) DecodeFrom(d *wire.Decoder) {
	if h.version = d.U8(); d.Err() == nil && h.version != version {
		d.Fail("format version %d where %d is spoken", h.version, version)
	}
	h.credits = d.U32()
	h.maxFrame = d.U32()
}

// refusal carries the text of a RemoteError.
type refusal struct{ text string }

// Kind implements Message.
func (*refusal) Kind() uint16 { return 0 }

// EncodeTo implements Message.
func (r *refusal) EncodeTo(e *wire.Encoder) {
	e.String(r.text[:min(len(r.text), maxRefusal)])
}

// DecodeFrom implements Message.
func (r *refusal) DecodeFrom(d *wire.Decoder) { r.text = d.String(maxRefusal) }

// DecodeNotice reads the payload of a notice into m, to its last byte.
func DecodeNotice(kind uint16, payload []byte, m Message) error {
	if kind != m.Kind() {
		return violation("notice of kind %d where %d was expected", kind, m.Kind())
	}
	return decodeMessage(payload, m)
}
