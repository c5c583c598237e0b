#!/bin/sh
# Runs each fuzz target of the tree for the time given, one after the other.
set -eu
cd "$(dirname "$0")/.."
time=${1:-10s}
grep -rl --include='*_test.go' '^func Fuzz' pkg | xargs -n 1 dirname | sort -u | while read -r dir; do
	grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/' | sort | while read -r target; do
		echo "$dir $target"
		"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$dir" </dev/null
	done
done
