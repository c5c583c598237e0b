package standing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"filbert/pkg/durable"
	"filbert/pkg/proto"
)

// Where the orders lie in the spool.
const (
	Dir      = "orders"
	FileName = Dir + "/standing"
	filePerm = 0o600
	maxFile  = 8 << 20
)

// ErrDamaged says that the file is not what Save wrote.
var ErrDamaged = errors.New("the file of standing orders is damaged")

// header is the first line.
type header struct {
	Next uint64 `json:"next"` // the number of the order to come
}

// Save makes these orders the ones that are kept.
func Save(fsys durable.FS, next uint64, list []proto.StandingOrder) error {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	if err := out.Encode(header{next}); err != nil {
		return fmt.Errorf("write the orders: %w", err)
	}
	for i := range list {
		if err := out.Encode(&list[i]); err != nil {
			return fmt.Errorf("write the orders: %w", err)
		}
	}
	if err := durable.WriteFile(fsys, FileName, filePerm, b.Bytes()); err != nil {
		return fmt.Errorf("write the orders: %w", err)
	}
	return nil
}

// Load reads the orders that are kept. Of a damaged file it gives what can be read, and an
// error that wraps ErrDamaged: to obey some is better than to forget all. Without a file
// there are none.
func Load(fsys durable.FS) (next uint64, list []proto.StandingOrder, err error) {
	data, err := durable.ReadFile(fsys, FileName, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 1, nil, nil
	case errors.Is(err, durable.ErrTooLarge):
		return 1, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return 1, nil, fmt.Errorf("read the orders: %w", err)
	}
	return parse(data)
}

func parse(data []byte) (next uint64, list []proto.StandingOrder, err error) {
	var h header
	bad := 0
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	if strictly(first, &h) != nil || h.Next == 0 {
		bad++
		rest = data
	}
	next = max(h.Next, 1)
	seen := map[uint64]bool{}
	for line := range bytes.Lines(rest) {
		var o proto.StandingOrder
		if strictly(line, &o) != nil || o.Number == 0 || seen[o.Number] || Check(&o) != nil || len(list) == proto.MaxOrders {
			bad++
			continue
		}
		seen[o.Number] = true
		next = max(next, o.Number+1)
		list = append(list, o)
	}
	if bad > 0 {
		err = fmt.Errorf("%w: %d lines of it can't be read", ErrDamaged, bad)
	}
	return next, list, err
}

// strictly decodes one JSON value, and nothing else.
func strictly(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return ErrDamaged
	}
	return nil
}
