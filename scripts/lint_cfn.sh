#!/usr/bin/env bash
# Lint template.yaml twice: as SAM, and as the CloudFormation that it becomes,
# because cfn-lint checks IAM actions and resources only in the second.
#
#   scripts/lint_cfn.sh
#
# Needs cfn-lint and aws-sam-translator (both on PyPI, with boto3). Where they are
# missing it says so and does the part that it can: exit status 0. A finding of
# either pass, warnings included, is exit status 1.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cfn-lint >/dev/null; then
	echo "cfn-lint is not installed (pip install cfn-lint aws-sam-translator boto3): template.yaml is checked by the tests in infra/ only"
	exit 0
fi

# One Region of each kind: the one that CLOUDFRONT needs, an ordinary one.
cfn-lint --regions us-east-1 eu-west-1 --template template.yaml || exit 1

translated=$(mktemp "${TMPDIR:-/tmp}/tracewall-cfn.XXXXXX")
trap 'rm -f "$translated"' EXIT
status=0
python3 scripts/translate_sam.py template.yaml >"$translated" || status=$?
case $status in
0) cfn-lint --include-checks I --template "$translated" || exit 1 ;;
3) echo "aws-sam-translator is not installed: the IAM checks of cfn-lint were left out" ;;
*) exit 1 ;;
esac
echo "template.yaml: no finding"
