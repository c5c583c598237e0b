// Command smtp-client is the client side of SMTP and LMTP. Master runs it; see
// pkg/smtpclient.
package main

import (
	"filbert/pkg/service"
	"filbert/pkg/smtpclient"
)

func main() { service.Main("smtp-client", smtpclient.New()) }
