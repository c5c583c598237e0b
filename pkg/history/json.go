package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// parseJSON reads one flat object of texts and numbers. The keys come in their
// order, and none twice: a reader that takes the first and one that takes the last must
// not disagree on who submitted a message.
func parseJSON(line []byte) (Event, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return Event{}, ErrNotOurs
	}
	var e Event
	var at, id, verb string
	id = "-"
	for d.More() {
		key, value, err := jsonPair(d)
		if err != nil || len(e.Fields) == maxFields {
			return Event{}, ErrNotOurs
		}
		switch {
		case key == "t" && at == "":
			at = value
		case key == "id" && id == "-":
			id = value
		case key == "ev" && verb == "":
			verb = value
		case key == "by" && e.By == "" && isWord(value):
			e.By = value
		case !isWord(key) || len(value) > maxValue || e.Has(key) || key == "t" || key == "id" || key == "ev" || key == "by":
			return Event{}, ErrNotOurs
		default:
			e.Fields = append(e.Fields, Field{key, value})
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return Event{}, ErrNotOurs
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || e.By == "" || !e.setHead(at, id, verb) {
		return Event{}, ErrNotOurs
	}
	return e, nil
}

// isTime names the keys whose values are lengths of time.
func isTime(key string) bool { return key == "took" || key == "age" || key == "backoff" }

func jsonPair(d *json.Decoder) (key, value string, err error) {
	k, err := d.Token()
	if err != nil {
		return "", "", err
	}
	v, err := d.Token()
	if err != nil {
		return "", "", err
	}
	key, ok := k.(string)
	if !ok {
		return "", "", ErrNotOurs
	}
	switch v := v.(type) {
	case string:
		return key, v, nil
	case json.Number:
		if !isTime(key) {
			return key, v.String(), nil
		}
		f, err := v.Float64()
		return key, strconv.FormatFloat(f, 'f', 1, 64) + "ms", err
	}
	return "", "", ErrNotOurs
}
