#!/bin/bash
# Measures Filbert beside Postfix. doc/BENCHMARKS.md says what, and how to read it.
#
#   run.sh [SCENARIO...]          the default ones without arguments, or all
#
#   PEERS=filbert,postfix         the first is divided by the others
#   RUNS=3                        passes over each scenario
#   SCALE=1                       factor on the number of messages
#   WORK=tests/bench/work         where instances and results are kept
#   FILBERT_BIN=bin               whose programs to measure
set -eu
cd "$(dirname "$0")"
die() { printf 'bench: %s\n' "$@" >&2; exit 1; }
work=${WORK:-$PWD/work}
peers=${PEERS:-filbert,postfix}
[ "$(id -u)" = 0 ] || die "must be run as root: it makes control groups and a network namespace"
command -v ip >/dev/null || die "ip is missing: apt-get install iproute2"
mkdir -p "$work/results"
case ,$peers, in *,postfix,*)
	command -v postconf >/dev/null && command -v perf >/dev/null || ./install-postfix.sh
	setpriv --reuid postfix --clear-groups test -x "$work" ||
		die "the user postfix can not reach $work" "take another directory: WORK=/var/tmp/filbert-bench make bench" ;;
esac
CGO_ENABLED=0 go build -o "$work/mb" ./mb
ulimit -n "$(ulimit -Hn)"
# A namespace with nothing but loopback: no peer can reach anybody.
scenarios=${*:-default}
trap 'rm -rf "$work/trash"' EXIT
unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
	"$work/mb" run -bench "$PWD" -work "$work" -peers "$peers" -scen "${scenarios// /,}" \
	-runs "${RUNS:-3}" -scale "${SCALE:-1}" ${OUT:+-out "$OUT"}
