package config

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// maxHeaders bounds the fields that one entry adds or removes: an edit carries
// twice as many (pkg/envelope), so that an entry behind another has room too.
const maxHeaders = 50

// course checks what directors and routers have in common. names are those of
// all entries of the table, of which this is the one at place at.
func (c *checker) course(path string, cond *settings.Conditions, co *settings.Course, names []string, at int) {
	c.conditions(path, cond)
	c.errorsTo(path, co)
	c.headers(path, co)
	c.pass(path+".pass", co, names, at)
	if co.OnDefer != "" {
		c.oneOf(path+".on_defer", co.OnDefer, "defer", "decline", "fail")
	}
	if co.VerifyOnly {
		c.verifyOnly(path, co)
	}
}

// verifyOnly reports what never happens where nothing is delivered.
func (c *checker) verifyOnly(path string, co *settings.Course) {
	if !settings.Or(co.Verify, true) {
		c.bad(path+".verify_only", "is set beside verify = false, so the entry is never asked", "remove one of the two")
	}
	for _, key := range []string{"retry", "errors_to", "headers_add", "headers_remove"} {
		if c.isSet(path + "." + key) {
			c.bad(path+"."+key, "has no effect with verify_only, which delivers nothing", "remove one of the two")
		}
	}
}

func (c *checker) conditions(path string, cond *settings.Conditions) {
	c.askingPatterns(path+".domains", cond.Domains, pattern.Domains)
	c.askingPatterns(path+".local_parts", cond.LocalParts, pattern.LocalParts)
	c.askingPatterns(path+".senders", cond.Senders, pattern.Addresses)
	c.askingPatterns(path+".clients", cond.Clients, pattern.Networks)
	for i, name := range cond.Listeners {
		c.listenerName(fmt.Sprintf("%s.listeners[%d]", path, i), name)
	}
	for i, name := range cond.Source {
		c.oneOf(fmt.Sprintf("%s.source[%d]", path, i), name, "smtp", "local", "bounce")
	}
	if len(cond.Source) > 0 && !slices.Contains(cond.Source, "smtp") {
		for _, key := range []string{"clients", "listeners"} {
			if c.isSet(path + "." + key) {
				c.bad(path+"."+key, `never matches: only what comes in by "smtp" has it, and source leaves that out`, "remove one of the two")
			}
		}
	}
	if cond.SmallerThan > 0 && cond.LargerThan >= cond.SmallerThan {
		c.bad(path+".larger_than", fmt.Sprintf("is %s, so no message is smaller_than %s as well", cond.LargerThan, cond.SmallerThan),
			"make it less than smaller_than, or remove one of the two")
	}
	if cond.IfLookup != "" {
		text := strings.TrimPrefix(cond.IfLookup, "!")
		name, template, keyed := strings.Cut(text, ":")
		c.lookupName(path+".if_lookup", name)
		switch {
		case keyed && template == "":
			c.bad(path+".if_lookup", "names no key behind the colon", `write "NAME:{sender}", or "NAME" for the whole address`)
		case keyed:
			c.placeholders(path+".if_lookup", template, "local_part", "domain", "address", "sender", "client")
		}
	}
}

// listenerName checks that there is a listener of a name.
func (c *checker) listenerName(key, name string) {
	var names []string
	for i := range c.s.Listen {
		names = append(names, c.s.Listen[i].Name)
	}
	if contains(names, name) {
		return
	}
	hint := "there are: " + quoteAll(names)
	if len(names) == 0 {
		hint = "there is no listener at all"
	}
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.bad(key, fmt.Sprintf("there is no listener %q", name), hint)
}

func (c *checker) errorsTo(path string, co *settings.Course) {
	if co.ErrorsTo != "" {
		c.address(path+".errors_to", co.ErrorsTo, true)
	}
}

// pass checks that what a decline leads to stands further down: an address that
// went up again could go in a circle.
func (c *checker) pass(key string, co *settings.Course, names []string, at int) {
	if co.Pass == "" {
		return
	}
	switch i := slices.Index(names, co.Pass); {
	case !settings.Or(co.More, true):
		c.bad(key, "has no effect with more = false, which ends the search", "remove one of the two")
	case i > at:
	case i >= 0:
		c.bad(key, fmt.Sprintf("%q does not stand further down", co.Pass), "name an entry behind this one: mail goes down the list only")
	default:
		hint := "name an entry behind this one"
		if near := nearest(co.Pass, names[at+1:]); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.bad(key, fmt.Sprintf("there is no entry %q", co.Pass), hint)
	}
}

// ownFields are written by the suite itself, and say what happened to a message.
var ownFields = []string{"received", "return-path", "delivered-to"}

func (c *checker) headers(path string, co *settings.Course) {
	for _, list := range []struct {
		key string
		n   int
	}{{"headers_add", len(co.HeadersAdd)}, {"headers_remove", len(co.HeadersRemove)}} {
		if list.n > maxHeaders {
			c.bad(path+"."+list.key, fmt.Sprintf("has %d fields; the most is %d", list.n, maxHeaders), "")
		}
	}
	for i, text := range co.HeadersAdd {
		c.addedField(fmt.Sprintf("%s.headers_add[%d]", path, i), text)
	}
	for i, name := range co.HeadersRemove {
		key := fmt.Sprintf("%s.headers_remove[%d]", path, i)
		switch {
		case !isFieldName(name):
			c.bad(key, fmt.Sprintf("%q is no name of a header field", name), `write the name alone: "X-Original-To"`)
		case strings.EqualFold(name, "received"):
			c.bad(key, "would hide mail that goes in a circle: Received fields are counted", "remove it")
		}
	}
}

func (c *checker) addedField(key, text string) {
	name, value, ok := strings.Cut(text, ":")
	switch {
	case !ok || !isFieldName(name):
		c.bad(key, fmt.Sprintf("%q is no header field", text), `write "Name: text"`)
	case strings.ContainsAny(name, "{}"):
		c.bad(key, fmt.Sprintf("%q has a placeholder in the name of the field, which no message may choose", text), `write "Name: text", with placeholders in the text`)
	case contains(ownFields, strings.ToLower(name)):
		c.bad(key, fmt.Sprintf("%s is a field that the suite writes itself", name), "use a name of your own, like X-"+name)
	case strings.TrimSpace(value) == "":
		c.bad(key, fmt.Sprintf("%q has no text behind the colon", text), `write "Name: text"`)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }):
		c.bad(key, fmt.Sprintf("%q has a control character or one that is not ASCII", text), "write it in one line, and other scripts as encoded words (RFC 2047)")
	case len(text) > 900:
		c.bad(key, "is longer than 900 octets", "a line of a message has 998 at most (RFC 5322, section 2.1.1)")
	default:
		c.placeholders(key, value, "local_part", "domain", "recipient", "sender")
	}
}

// isFieldName is RFC 5322, section 2.2.
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// askingPatterns compiles a list that may have lookups, and reports each mistake
// at the pattern's place.
func (c *checker) askingPatterns(key string, list []string, kind pattern.Kind) pattern.Asking {
	a, err := pattern.CompileAsking(list, kind)
	if errs, ok := err.(pattern.Errors); ok {
		for _, e := range errs {
			c.bad(fmt.Sprintf("%s[%d]", key, e.Index), fmt.Sprintf("%q %s", e.Pattern, e.Problem), e.Hint)
		}
	}
	for i, text := range list {
		if name, is := strings.CutPrefix(strings.TrimPrefix(text, "!"), "lookup:"); is && err == nil {
			c.lookupName(fmt.Sprintf("%s[%d]", key, i), name)
		}
	}
	return a
}

// lookupName checks that there is a lookup of a name.
func (c *checker) lookupName(key, name string) {
	if _, ok := c.s.Lookups[name]; ok {
		return
	}
	hint := fmt.Sprintf("write [lookup.%s] with its type", name)
	if near := nearest(name, sortedKeys(c.s.Lookups)); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.bad(key, fmt.Sprintf("there is no lookup %q", name), hint)
}
