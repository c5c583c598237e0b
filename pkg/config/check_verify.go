package config

import (
	"fmt"
	"time"

	"filbert/pkg/settings"
)

// maxCallout is the longest wait for another server: router gives a question 80
// seconds in all, and the client's patience is not ours to spend.
const maxCallout = settings.Duration(time.Minute)

func (c *checker) checkVerify() {
	v := c.s.Verify
	known := true // a switch that is misspelt may have been meant for call-outs
	for _, x := range []struct{ key, value string }{
		{"verify.local_recipients", v.LocalRecipients},
		{"verify.remote_recipients", v.RemoteRecipients},
		{"verify.senders", v.Senders},
	} {
		known = c.oneOf(x.key, x.value, "route", "callout", "off") && known
	}
	c.oneOf("verify.own_domains", v.OwnDomains, "verify", "refuse", "accept")
	c.oneOf("verify.when_unsure", v.WhenUnsure, "accept", "defer")
	c.checkCallouts()
	if known {
		c.unusedCallouts()
		c.provesNothing()
	}
}

func (c *checker) checkCallouts() {
	v := c.s.Verify
	switch {
	case v.CalloutTimeout < settings.Duration(time.Second):
		c.bad("verify.callout_timeout", fmt.Sprintf("is %s; the least is 1s", v.CalloutTimeout), `write a time with its unit, like "30s"`)
	case v.CalloutTimeout > maxCallout:
		c.bad("verify.callout_timeout", fmt.Sprintf("is %s; the most is %s, because a client waits meanwhile", v.CalloutTimeout, maxCallout),
			`write a time with its unit, like "30s"`)
	}
	c.longerThan0("verify.callout_keep_yes", v.CalloutKeepYes)
	c.longerThan0("verify.callout_keep_no", v.CalloutKeepNo)
	if v.CalloutKeepNo > v.CalloutKeepYes && v.CalloutKeepYes > 0 {
		c.warn("verify.callout_keep_no", fmt.Sprintf("is %s, longer than verify.callout_keep_yes (%s)", v.CalloutKeepNo, v.CalloutKeepYes),
			"make it shorter: an address that begins to exist is refused as long")
	}
	c.between("verify.callouts_per_domain", v.CalloutsPerDomain, 1, 1000)
}

func (c *checker) unusedCallouts() {
	v := c.s.Verify
	if v.LocalRecipients == "callout" || v.RemoteRecipients == "callout" || v.Senders == "callout" {
		return
	}
	for _, key := range []string{"callout_timeout", "callout_keep_yes", "callout_keep_no", "callouts_per_domain"} {
		if c.isSet("verify." + key) {
			c.warn("verify."+key, "has no effect, because no address is verified by call-outs",
				`write "callout" for local_recipients, remote_recipients or senders, or remove it`)
		}
	}
}

// provesNothing warns where every remote address is good because the only
// routers that are asked hand everything to a smart host.
func (c *checker) provesNothing() {
	v := c.s.Verify
	key := "verify.senders"
	switch {
	case v.Senders == "route":
	case v.RemoteRecipients == "route":
		key = "verify.remote_recipients"
	default:
		return
	}
	for _, r := range c.s.Routers {
		if asked := r.Verify == nil || *r.Verify; asked && r.Driver == "smarthost" && len(r.Domains) == 0 {
			c.warn(key, fmt.Sprintf("proves nothing: router %q takes every domain", r.Name),
				`write verify = false for it, and add a router with driver = "mx" and verify_only = true`)
			return
		} else if asked && r.Driver == "mx" && len(r.Domains) == 0 {
			return // it says no to what does not exist
		}
	}
}
