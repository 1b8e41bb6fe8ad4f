#!/usr/bin/env bash
# Pack one built function as its cloud takes it, without SAM and without s.
#
#   scripts/package.sh FUNCTION
#
# Writes build/FUNCTION.zip: "bootstrap" at the root for Lambda, "main" for Function
# Compute. For people who upload the code by other means (Terraform, a console).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -ne 1 ]; then
	echo "usage: scripts/package.sh FUNCTION" >&2
	exit 2
fi
if ! command -v zip >/dev/null; then
	echo "zip is not installed; build/$1 holds what belongs at the root of the archive" >&2
	exit 1
fi
name=main
[ "$1" = sync-aws-waf ] && name=bootstrap
scripts/build.sh "$1" "build/$1/$name"
# A fixed time and -X (no owner, no extra fields) keep the archive reproducible.
touch -d '2020-01-01T00:00:00Z' "build/$1/$name"
rm -f "build/$1.zip"
(cd "build/$1" && zip -q -X -9 "../$1.zip" "$name")
printf 'build/%s.zip %s bytes\n' "$1" "$(wc -c <"build/$1.zip" | tr -d ' ')"
