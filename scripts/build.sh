#!/usr/bin/env bash
# Build one function as it is deployed: static, stripped, the same bytes each time.
#
#   scripts/build.sh FUNCTION FILE
#
# Everything that makes a deployed binary goes through here: make build, sam build
# (Makefile target build-SyncAwsWafFunction) and s deploy (pre-deploy in s.yaml).
# FUNCTION is a folder of functions/. Its cloud decides the platform.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -ne 2 ] || [ ! -d "functions/$1" ]; then
	echo "usage: scripts/build.sh FUNCTION FILE; functions: $(ls functions | tr '\n' ' ')" >&2
	exit 2
fi

case "$1" in
sync-aws-waf)
	# Lambda on provided.al2023. lambda.norpc leaves out the invoke protocol of
	# the retired go1.x runtime and the net/rpc server that comes with it.
	export GOARCH="${GOARCH:-arm64}"
	tags=lambda.norpc
	;;
*)
	# Function Compute's Go runtime exists for x86-64 only.
	export GOARCH=amd64
	tags=
	;;
esac
export GOOS=linux CGO_ENABLED=0

mkdir -p "$(dirname "$2")"
# -buildvcs=false: the same source gives the same bytes with and without .git,
# which sam build leaves out of its copy.
go build -trimpath -buildvcs=false -tags "$tags" -ldflags '-s -w -buildid=' -o "$2" "./functions/$1"
printf '%s %s/%s %s bytes\n' "$2" "$GOOS" "$GOARCH" "$(wc -c <"$2" | tr -d ' ')"
