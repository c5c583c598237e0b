package lookup

import "iter"

// All gives the accounts in no order.
func (p *Passwd) All() iter.Seq[Account] {
	return func(yield func(Account) bool) {
		for _, a := range p.byName {
			if !yield(a) {
				return
			}
		}
	}
}

// All gives the lines in no order, each by its key: an address, a name, or
// "@domain".
func (t *Users) All() iter.Seq2[string, User] {
	return func(yield func(string, User) bool) {
		for key, u := range t.byKey {
			if !yield(key, u) {
				return
			}
		}
	}
}
