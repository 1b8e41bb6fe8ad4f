#!/usr/bin/env bash
# Run every fuzz target of the module for a while, one after the other.
#
#   scripts/fuzz.sh [TIME]    TIME as go test -fuzztime takes it; 20s when absent
set -euo pipefail
cd "$(dirname "$0")/.."

# "go test -fuzz" takes one target of one package at a time.
grep -rEl --include='*_test.go' '^func Fuzz[A-Z]' functions shared scripts | xargs -r -n1 dirname | sort -u | while read -r dir; do
	grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | awk '{print $2}' | while read -r target; do
		echo "$dir $target"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="${1:-20s}" "./$dir"
	done
done
