#!/usr/bin/env python3
"""Turn a SAM template into plain CloudFormation on standard output.

    scripts/translate_sam.py template.yaml > build/cloudformation.json
    cfn-lint -c I -t build/cloudformation.json

Why: on a template with the serverless transform cfn-lint leaves its IAM checks
out, so a misspelt action passes. On this output it does not. scripts/lint_cfn.sh
lints both.

No AWS account, no network. Code on disk becomes a made-up S3 address, which is
what the translator expects to find after "sam package".

Needs the Python packages aws-sam-translator and boto3. Exit status: 0 done,
1 the template does not translate, 2 wrong usage, 3 a Python package is missing.
"""

import json
import sys

try:
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.public.exceptions import InvalidDocumentException
    from samtranslator.translator.translator import Translator
    from samtranslator.yaml_helper import yaml_parse
except ImportError as missing:
    print(f"translate_sam.py: {missing}", file=sys.stderr)
    sys.exit(3)

# Any Region that has every service will do: the output is linted, not deployed.
REGION = "us-east-1"
PACKAGED = "s3://packaged/code.zip"


def packaged(template):
    """Return template with each function's local CodeUri replaced, as sam package does."""
    for resource in template.get("Resources", {}).values():
        if resource.get("Type") != "AWS::Serverless::Function":
            continue
        properties = resource.setdefault("Properties", {})
        if "InlineCode" not in properties and "ImageUri" not in properties:
            properties["CodeUri"] = PACKAGED
    return template


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as file:
        template = packaged(yaml_parse(file.read()))
    session = boto3.session.Session(region_name=REGION)
    try:
        translated = Translator({}, Parser(), boto_session=session).translate(
            sam_template=template, parameter_values={}
        )
    except InvalidDocumentException as invalid:
        for problem in (invalid, *invalid.causes):
            print(f"{arguments[0]}: {problem.message}", file=sys.stderr)
        return 1
    json.dump(translated, sys.stdout, indent=2, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
