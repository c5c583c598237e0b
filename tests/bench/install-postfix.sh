#!/bin/bash
# Installs Debian's Postfix, and perf, for the benchmarks. Postfix is not started, and
# not configured: the benchmarks make an instance of their own. Run as root.
set -eu
[ "$(id -u)" = 0 ] || { echo "$0 must be run as root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
if ! command -v postconf >/dev/null; then
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then # what stops Debian from starting what it installs
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
	fi
	apt-get update -qq
	echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
	apt-get install -y -qq --no-install-recommends postfix >/dev/null
fi
command -v perf >/dev/null || apt-get install -y -qq --no-install-recommends linux-perf >/dev/null
postconf -d mail_version
