package message

// Edited is the header, from its beginning to End, without the fields whose
// names are in remove and with those of add, whole fields without line ends, at
// its end. All other octets stay as they are. What follows in the message, from
// End on, goes behind it unchanged.
func (h Header) Edited(remove, add []string) []byte {
	out := h.RemoveFields(remove...)
	// A header that ends with the text may lack its last line end.
	if len(add) > 0 && len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	for _, field := range add {
		out = append(append(out, field...), '\r', '\n')
	}
	return out
}
