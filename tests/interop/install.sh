#!/bin/sh
# Installs the mail programs, directories and databases that tests/interop talks
# to (Debian, as root).
#
# Clients are installed as packages; none of them is a mail transport agent, so
# nothing that the machine has is replaced. Servers are only unpacked, each with
# all that it needs into a root directory of its own under $FILBERT_PEERS: no
# two of them can be installed together, and nobody who runs the tests wants his
# own mail server replaced. No script of theirs runs; nothing is started.
#
# Quick when all is there. After a change of this file the servers are unpacked
# anew.
set -eu

peers=${FILBERT_PEERS:-/var/cache/filbert-interop}
clients='swaks msmtp s-nail mutt git git-email libmailtools-perl curl python3'

# What the servers depend on for their installation scripts alone.
needless='perl.*|libperl.*|lib(file-find-rule|text-glob|number-compare)-perl|usrmerge|dpkg|tar|cpio|debconf
|e2fsprogs|logsave|libext2fs2|libss2|passwd|adduser|init-system-helpers|sysvinit-utils|lsb-base|ucf|ssl-cert
|openssl|cron.*|sensible-utils|ed|gcc-.*-base|libsemanage.*|libsepol.*|mysql-common|mariadb-common|libllvm.*|libz3.*
|postgresql-common|postgresql-client-common|galera-.*|systemd.*|libsystemd-shared.*|iproute2|procps|rsync|psmisc|lsof|socat|gawk'
needless=$(printf %s "$needless" | tr -d '\n')

[ "$(id -u)" = 0 ] || { echo "tests/interop/install.sh must be run as root" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "tests/interop/install.sh needs Debian's apt-get" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
stamp=$(cksum <"$0")

# The package lists are fetched once, and only when something is to be installed.
updated=
update() {
	[ -n "$updated" ] || apt-get update -qq
	updated=yes
}

install_clients() {
	missing=
	for p in $clients; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	update
	policy=/usr/sbin/policy-rc.d ours=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		ours=yes
	fi
	status=0
	# shellcheck disable=SC2086 # a list
	apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing >/dev/null || status=$?
	[ -z "$ours" ] || rm -f $policy
	[ $status = 0 ] || { echo "can not install$missing" >&2; exit 1; }
	echo "installed$missing"
}

# unpack NAME PACKAGE... makes the root directory of one server.
unpack() {
	name=$1 root=$peers/$1 debs=$peers/debs
	shift
	[ "$(cat "$root/.done" 2>/dev/null)" != "$stamp" ] || return 0
	update
	rm -rf "$root"
	mkdir -p "$root" "$debs/partial"
	# As if no package were installed: apt fetches, and checks, all that is needed.
	apt-get install -y -qq --no-install-recommends --download-only -o APT::Sandbox::User=root \
		-o Dir::State::status=/dev/null -o Dir::Cache::archives="$debs" -o Debug::NoLocking=1 \
		dash "$@" >/dev/null
	for deb in "$debs"/*.deb; do
		file=${deb##*/}
		echo "${file%%_*}" | grep -Eqx "$needless" || dpkg-deb -x "$deb" "$root"
		# The next server needs many of them too, but not those of this one.
		case $file in postfix* | exim* | opensmtpd* | dovecot* | redis* | slapd* | mariadb* | postgresql*) rm -f "$deb" ;; esac
	done
	rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/etc/init.d
	[ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
	echo "$stamp" >"$root/.done"
	echo "unpacked $name: $(du -sh "$root" | cut -f1)"
}

install_clients
unpack postfix postfix
unpack exim exim4-daemon-light
unpack opensmtpd opensmtpd
unpack dovecot dovecot-core dovecot-lmtpd
unpack redis redis-server
unpack slapd slapd
unpack mariadb mariadb-server-core mariadb-client-core
unpack postgresql postgresql-15
rm -rf "$peers/debs"
