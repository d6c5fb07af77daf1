"""``argo-bridge schemas``: generates, lists and compares the JSON Schemas of Argo's releases.

`generate` is the only part of the bridge that reads Argo's field reference, from a file or a URL.
"""

from __future__ import annotations

import argparse
import sys
import urllib.request
from pathlib import Path

from bridge.cli import exit_codes
from bridge.core.errors import BridgeError, PermanentError
from bridge.validation import differences, generator
from bridge.validation.field_reference import FieldReference, parse_markdown
from bridge.validation.library import SchemaLibrary
from bridge.validation.reference_page import looks_like_page, parse_page
from bridge.validation.versions import parse_version

_MAX_BYTES = 32 << 20
_TIMEOUT_S = 30


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    generate = verbs.add_parser(
        "generate",
        help="generate the schema of a release from Argo's field reference",
        description="Generate the JSON Schema of one release of Argo from its field reference. Exit code 1 means that "
        "a declared correction does not fit the reference and the release needs a review.",
    )
    generate.add_argument("source", metavar="SOURCE", help="docs/fields.md or the published page: a file or a URL")
    generate.add_argument("--argo-version", metavar="V", required=True, help="the full version, e.g. 4.1.2")
    generate.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="file to write (default: standard output)"
    )
    generate.set_defaults(handler=run_generate)
    verbs.add_parser("list", help="list the releases that have a schema").set_defaults(handler=run_list)
    diff = verbs.add_parser("diff", help="show the changes between two releases")
    diff.add_argument("before", metavar="V1", help="a release, e.g. 3.7 or 3.7.18")
    diff.add_argument("after", metavar="V2")
    diff.set_defaults(handler=run_diff)


def run_generate(args: argparse.Namespace) -> int:
    """Write the schema; 0 done, 1 the reference is unusable, 2 not a full version."""
    version = args.argo_version.removeprefix("v")
    numbers = parse_version(version)
    if numbers is None or numbers[2] is None:
        print(f'argo-bridge schemas: "{args.argo_version}" is not a full version such as 4.1.2', file=sys.stderr)
        return exit_codes.USAGE
    try:
        schema = generator.generate(read_reference(args.source), version)
        data = generator.to_bytes(schema)
        if args.output == "-":
            sys.stdout.buffer.write(data)
        else:
            Path(args.output).write_bytes(data)
    except PermanentError as error:
        lines = [error.message.partition(": ")[0], *error.details] if error.details else [str(error)]
        print("\n  ".join(f"{line}" for line in lines), file=sys.stderr)
        return exit_codes.PROBLEMS
    except (BridgeError, OSError) as error:
        print(f"argo-bridge schemas: {error}", file=sys.stderr)
        return exit_codes.PROBLEMS
    if args.output != "-":
        print(f"{args.output}: {len(schema['$defs'])} types of Argo {version}", file=sys.stderr)
    return exit_codes.OK


def run_list(_: argparse.Namespace) -> int:
    """Print one line per known release, oldest first."""
    library = SchemaLibrary()
    for version in library.versions:
        types = library.schema(version)["$defs"]
        fields = sum(len(one.get("properties", ())) for one in types.values())
        newest = "  (newest)" if version == library.newest else ""
        print(f"{version:10}{len(types):5} types {fields:6} fields{newest}")
    return exit_codes.OK


def run_diff(args: argparse.Namespace) -> int:
    """Print the changes, one line each; 0 even if there are none, 2 for a release without a schema."""
    library = SchemaLibrary()
    chosen = []
    for text in (args.before, args.after):
        choice = library.for_version(text)
        if not choice.exact:
            known = ", ".join(library.versions)
            print(f'argo-bridge schemas: no schema of Argo "{text}"; known: {known}', file=sys.stderr)
            return exit_codes.USAGE
        chosen.append(choice.version)
    found = differences.differences(library.schema(chosen[0]), library.schema(chosen[1]))
    for one in found:
        print(one.render())
    print(f"{chosen[0]} to {chosen[1]}: {len(found)} differences", file=sys.stderr)
    return exit_codes.OK


def read_reference(source: str) -> FieldReference:
    """Read Argo's field reference from a file or URL, Markdown or HTML.

    Raises:
        PermanentError: code ``bad-reference``; it is not Argo's field reference, or has unknown parts.
        OSError: it cannot be read (`urllib.error.URLError` is one).
    """
    if source.startswith(("http://", "https://")):
        # The scheme was checked above, so no file: URL gets here.
        with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - see above
            data = answer.read(_MAX_BYTES)
    else:
        data = Path(source).read_bytes()
    text = data.decode("utf-8", errors="replace")
    return parse_page(text) if looks_like_page(text) else parse_markdown(text)
