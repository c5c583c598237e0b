// Command smtpd is the server side of SMTP. Master runs it; see pkg/smtpd.
package main

import (
	"filbert/pkg/service"
	"filbert/pkg/smtpd"
)

func main() { service.Main("smtpd", smtpd.New()) }
