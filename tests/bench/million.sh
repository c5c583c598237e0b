#!/bin/bash
# Measures a start with a great many deferred messages: when the first one that is due is
# tried, how long the walk of the spool takes, memory, and how fast the queue is listed.
#
#   million.sh [N]                1,000,000 without argument; 8.5 KB and 2 inodes each
#
#   WORK=tests/bench/work         where the instance is kept
#   FILBERT_BIN=bin               whose programs to measure
#   KEEP=1                        keep the spool, or use the one that was kept
#
# All mail goes to a port of loopback where nobody listens, in a network namespace that has
# nothing else. Files that were just made are in the page cache: a start after one of the
# machine is slower by what the disk takes to read them.
set -eu
cd "$(dirname "$0")"
n=${1:-1000000}
work=${WORK:-$PWD/work}
bin=$(realpath "${FILBERT_BIN:-../../bin}")
dir=$work/million
if [ -z "${INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "million: must be run as root: it makes a network namespace" >&2; exit 1; }
	mkdir -p "$work"
	CGO_ENABLED=0 go build -o "$work/fill" ./fill
	INSIDE=1 WORK=$work FILBERT_BIN=$bin exec unshare --net sh -c 'ip link set lo up; exec "$0" "$@"' "$PWD/million.sh" "$n"
fi
ctl() { "$bin/mtactl" -C "$dir" "$@"; }
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }
took() { # WHAT COMMAND...
	local t what=$1 lines; shift; t=$(now)
	lines=$("$@" | wc -l)
	echo "$what: $(since "$t") ms, $lines lines"
}
memory() { # the PSS of each program of this instance, in MiB
	local p name
	for p in $(pgrep -f "^$bin/libexec/" || true); do
		name=$(basename "$(readlink "/proc/$p/exe")")
		awk -v n="$name" '/^Pss:/ {printf "%s %.1f MiB, ", n, $2 / 1024}' "/proc/$p/smaps_rollup" || true
	done
	echo
}
told() { grep -rqs "$1" "$dir/log"; }
if [ ! -d "$dir" ]; then
	ctl init --hostname bench.test --domain local.test --smtp 127.0.0.1:2525 --smarthost 127.0.0.1:2526 >/dev/null
	printf '\n[reports]\ndelay_warnings = []\n' >>"$dir/etc/filbert.toml" # that is not what is measured
	# About 450 of a million, which are due again at the second start.
	printf '\n[[retry]]\nname = "soon"\nmatch = ["d999?.test"]\nphases = [{ every = "1m", until = "30 days" }]\n' >>"$dir/etc/filbert.toml"
	t=$(now)
	"$work/fill" -spool "$dir/spool" -n "$n"
	echo "fill: $(since "$t") ms"
fi
if [ ! -e "$dir/spool/index/schedule" ]; then # a first start, which finds no index and makes it
	t=$(now)
	ctl start >/dev/null
	until told 'now=loaded' || [ "$(since "$t")" -gt 900000 ]; do sleep 0.1; done
	echo "without an index, all is known: $(since "$t") ms"
	sleep 3 # the news are written each second
	t=$(now)
	ctl stop >/dev/null
	echo "stop: $(since "$t") ms, index of $(du -sm "$dir/spool/index" | cut -f1) MiB"
	sleep 65 # something is due again
fi
rm -rf "${dir:?}/log/"*
t=$(now)
ctl start >/dev/null
echo "start: $(since "$t") ms"
until told ' by=dispatch' || told 'now=loaded' || [ "$(since "$t")" -gt 600000 ]; do sleep 0.02; done
echo "first message that was due is tried: $(since "$t") ms"
told 'now=remembered' && echo "$(grep -rhs 'now=remembered' "$dir/log" | sed 's/.*why=//')"
took "first page during the walk" ctl queue list --limit 25
until told 'now=loaded' || [ "$(since "$t")" -gt 600000 ]; do sleep 0.1; done
echo "all is known: $(since "$t") ms"
echo "memory: $(memory)"
for i in 1 2 3; do took "first page" ctl queue list --limit 25; done
took "everything" ctl queue list --json
took "by recipient" ctl queue list --json --recipient '*@d77.test'
took "by one recipient" ctl queue list --json --recipient 'u77@d77.test'
took "by sender" ctl queue list --json --sender '*7@s1.test' --limit 100
took "by age" ctl queue list --json --older '71h 50m'
echo "memory: $(memory)"
ctl stop >/dev/null
[ -n "${KEEP:-}" ] || rm -rf "$dir"
