#!/usr/bin/env bash
# `make run`: a private instance from nothing to a delivered message, then its
# live log until Ctrl-C. It needs no root and no network, and touches nothing
# outside DIR.
#
#   DIR              where the instance lies        ./run-instance
#   SMTP_PORT        its SMTP port on 127.0.0.1     2525
#   SUBMISSION_PORT  its submission port            2587
#   ONCE=1           stop after the two messages (for scripts)
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
dir=${DIR:-$top/run-instance}
smtp=${SMTP_PORT:-2525}
submission=${SUBMISSION_PORT:-2587}
mtactl=$top/bin/mtactl
sendmail=$top/bin/sendmail
domain=example.test

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'
else
	bold='' dim='' off=''
fi
title() { printf '\n%s== %s%s\n' "$bold" "$1" "$off"; }
die() {
	printf '\n%s\n' "make run: $1" >&2
	shift
	[ $# = 0 ] || printf '    %s\n' "$@" >&2
	exit 1
}

me=$(id -un 2>/dev/null) || die "your user id, $(id -u), has no name in the password file, so there is nobody to send mail to."

for program in "$mtactl" "$sendmail" "$top/bin/libexec/master"; do
	[ -x "$program" ] || die "$program is not there." "Compile it: make build"
done

# --- an instance ---

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

mine() { "$mtactl" -C "$dir" "$@"; }

if [ -e "$dir/etc/filbert.toml" ]; then
	title "Using the instance of an earlier run"
	if mine status >/dev/null 2>&1; then
		die "the instance in $dir is running already." \
			"Look at it:   bin/mtactl -C $dir status" \
			"Stop it:      bin/mtactl -C $dir stop" \
			"Or run another beside it: make run DIR=/tmp/second SMTP_PORT=3525 SUBMISSION_PORT=3587"
	fi
	echo "It lies in $dir; remove that directory to begin anew."
	# Its ports are those that it was made with.
	smtp=$(sed -n 's/^address = "127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$dir/etc/filbert.toml" | sed -n 1p)
	submission=$(sed -n 's/^address = "127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$dir/etc/filbert.toml" | sed -n 2p)
	[ -n "$smtp" ] || die "the instance in $dir has been changed: it does not listen on 127.0.0.1." \
		"Start it yourself: bin/mtactl -C $dir start" \
		"Or use another directory: make run DIR=/tmp/second"
fi
for port in $smtp $submission; do
	if in_use "$port"; then
		if [ -e "$dir/etc/filbert.toml" ]; then
			die "port $port is in use by another program." \
				"See which:  ss -ltnp 'sport = :$port'" \
				"Stop it, or change the address in $dir/etc/filbert.toml"
		fi
		die "port $port is in use by another program." \
			"See which:  ss -ltnp 'sport = :$port'" \
			"Stop it, or use other ports:  make run SMTP_PORT=3525 SUBMISSION_PORT=3587"
	fi
done
if [ ! -e "$dir/etc/filbert.toml" ]; then
	title "A private instance in $dir"
	mine init --hostname "mail.$domain" --domain "$domain" --domain localhost \
		--smtp "127.0.0.1:$smtp" --submission "127.0.0.1:$submission" ||
		die "the instance could not be made; the lines above say why." "Another directory: make run DIR=/tmp/filbert"
fi

# --- running ---

title "Starting it"
follower=
stop() {
	trap '' INT TERM
	[ -z "$follower" ] || kill "$follower" 2>/dev/null || true
	title "Stopping"
	mine stop || true
	echo "The instance stays in $dir: make run uses it again, rm -r $dir removes it."
}
mine start || exit 1
trap 'stop; exit 0' INT TERM
trap 'code=$?; [ $code = 0 ] || { stop; exit $code; }' EXIT

# --- a message by sendmail, one over SMTP ---

maildir=$dir/mail/$me
delivered() { (find "$maildir/new" -type f 2>/dev/null || true) | wc -l; }
before=$(delivered)
finished=$(mine tail -n 1000 finished | wc -l)

title "A message with our own sendmail"
message="From: $me@$domain
To: $me@$domain
Subject: sent with sendmail

The first message."
echo "$message" | sed "s/^/    $dim/; s/\$/$off/"
echo "$message" | "$sendmail" -C "$dir" -i -t || die "sendmail failed." "The log: bin/mtactl -C $dir tail"
echo "    exit status 0: the message is on disk"

title "A message over SMTP, port $smtp"
say() {
	printf '    %sC: %s%s\n' "$dim" "$1" "$off"
	printf '%s\r\n' "$1" >&3
}
hear() { # the reply, all of its lines; it must begin with $1
	local line
	while IFS= read -r -t 20 line <&3; do
		line=${line%$'\r'}
		printf '    S: %s\n' "$line"
		case $line in [0-9][0-9][0-9]-*) continue ;; esac
		case $line in "$1"*) return 0 ;; esac
		die "the server said something else than $1." "The log: bin/mtactl -C $dir tail"
	done
	die "the server did not answer." "The log: bin/mtactl -C $dir tail"
}
exec 3<>"/dev/tcp/127.0.0.1/$smtp"
hear 220
say "EHLO client.$domain" && hear 250
say "MAIL FROM:<friend@elsewhere.test>" && hear 250
say "RCPT TO:<$me@$domain>" && hear 250
say "DATA" && hear 354
say "From: A friend <friend@elsewhere.test>"
say "To: $me@$domain"
say "Subject: sent over SMTP"
say ""
say "The second message."
say "." && hear 250
say "QUIT" && hear 221
exec 3>&-

title "Both in the Maildir $maildir"
for _ in $(seq 100); do
	[ "$(delivered)" -ge $((before + 2)) ] && break
	sleep 0.1
done
if [ "$(delivered)" -lt $((before + 2)) ]; then
	mine tail -n 30
	die "the messages have not arrived within 10 seconds; the log is above." "bin/mtactl -C $dir queue list tells what waits, and why"
fi
find "$maildir/new" -type f -printf '%T@ %p\n' | sort -n | tail -2 | cut -d' ' -f2- | while read -r file; do
	printf '    %s%s%s\n' "$bold" "${file#"$top"/}" "$off"
	sed "s/^/        /; s/\r\$//" "$file"
done

title "What they left in the log"
for _ in $(seq 50); do # each program writes its lines within a fraction of a second
	[ "$(mine tail -n 1000 finished | wc -l)" -ge $((finished + 2)) ] && break
	sleep 0.1
done
ids=$(mine tail -n 1000 received | awk '{ print $2 }' | tail -2)
for id in $ids; do
	mine trace "$id" | sed 's/^/    /'
	echo
done

title "How to send more"
cat <<T
    echo hello | bin/sendmail -C $dir $me
    swaks --server 127.0.0.1:$smtp --to $me@$domain
    mutt -e 'set sendmail="$sendmail -C $dir -oi"' -f $maildir
    telnet 127.0.0.1 $smtp

    bin/mtactl -C $dir status -v
    bin/mtactl -C $dir explain $me+anything@$domain
    bin/mtactl -C $dir queue list
    less $dir/etc/filbert.toml
T

[ -z "${ONCE:-}" ] || { stop; trap - EXIT; exit 0; }

title "The live log (Ctrl-C stops the suite)"
"$mtactl" -C "$dir" tail -n 0 -f &
follower=$!
wait $follower || true
