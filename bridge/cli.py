"""The command line: what a person types, and the exit codes that scripts rely on.

0 done, 1 failed, 2 wrong usage or configuration, 3 unavailable (the bridge does not run, or
the accessory cannot be observed), 4 still on its way.
"""

import argparse
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge import __version__, client, show
from bridge.client import LONGEST_WAIT, MOST_ROWS, ControlError
from bridge.paths import CONFIG, STATE, Paths

DONE, FAILED, USAGE, UNAVAILABLE, ON_ITS_WAY = range(5)
AFTER_CYCLE = 0.5  # seconds that `watchdog --follow` gives a cycle to look and decide
CODES = {"down": UNAVAILABLE, "starting": UNAVAILABLE, "key": USAGE, "request": USAGE}


class CliError(Exception):
    """Ends the command: a line for a person in each argument, and the exit code."""

    def __init__(self, *lines: str, code: int = FAILED) -> None:
        super().__init__(*lines)
        self.code = code


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="bellpull",
        description="A Linux home server in Apple's Home app: switches that tell the truth.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 unavailable, 4 on its way.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    top.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help=f"configuration ({CONFIG})")
    top.add_argument(
        "--state-dir", type=Path, default=STATE, metavar="DIR", help=f"keys and journal ({STATE})"
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    verb("init", init, "write a first configuration from what this machine has")
    verb("check", check, "say what is wrong with the configuration, everything at once")
    verb("apply", apply, "(root) let root do what the configuration asks for, and no more")
    verb("run", run, "run the bridge in the foreground")
    pair = verb("pair", pairing, "show setup code, QR code and pairings")
    what = pair.add_mutually_exclusive_group()
    what.add_argument(
        "--reset", action="store_true", help="remove all pairings; the Home app has to add the bridge again"
    )
    what.add_argument("--unlock", action="store_true", help="allow pairing again after 100 wrong setup codes")
    listing = verb("list", list_tiles, "show every accessory and its state")
    listing.add_argument("--json", action="store_true", help="as one JSON list")
    setting = verb("set", set_tile, "turn an accessory on or off and wait for the outcome")
    setting.add_argument("key", metavar="KEY")
    setting.add_argument("state", choices=["on", "off"])
    setting.add_argument(
        "--wait", type=_seconds, metavar="SECONDS", help="wait no longer than this (exit 4 then)"
    )
    story = verb("journal", journal, "show what happened to the accessories, and by whom")
    story.add_argument("key", nargs="?", metavar="KEY", help="only of this accessory")
    story.add_argument(
        "--lines", type=_lines, default=50, metavar="N", help="the last N lines (50), 1000 at most"
    )
    story.add_argument("--follow", action="store_true", help="go on showing what happens")
    story.add_argument("--json", action="store_true", help="one JSON object a line")
    watching = verb("watchdog", watchdog, "show what the watchdog sees: values, limits, cycles so far")
    watching.add_argument("key", nargs="?", metavar="KEY", help="only of this accessory")
    watching.add_argument("--follow", action="store_true", help="show it again after every cycle")
    watching.add_argument("--json", action="store_true", help="one JSON list a look")
    forgetting = verb(
        "forget", forget, "drop an accessory that is no longer in the configuration from the home"
    )
    forgetting.add_argument("key", metavar="KEY")
    verb("doctor", doctor, "say why a phone does not find the bridge, and what to do about it")
    verbs.add_parser("scans", help="cut the photos out of flatbed scans (bellpull scans --help)")
    vpn = verb("vpn", route, "(root) prepare this machine for a VPN tile, or show which way it goes")
    vpn.add_argument("what", choices=["setup", "status"])
    vpn.add_argument("key", metavar="KEY")
    vpn.add_argument("--dry-run", action="store_true", help="only say what would be done")
    vpn.add_argument("--remove", action="store_true", help="take all of it back")
    return top


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found <= LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"write 0 to {LONGEST_WAIT:g}")
    return found


def _lines(text: str) -> int:
    found = int(text)
    if not 1 <= found <= MOST_ROWS:
        raise argparse.ArgumentTypeError(f"write 1 to {MOST_ROWS}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["scans"]:
        from bridge.scans import cli as scans

        return scans.main(words[1:])
    arguments = parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names and QR codes on a terminal without UTF-8
    paths = Paths(arguments.config, arguments.state_dir)
    try:
        code: int = arguments.run(paths, arguments)
        sys.stdout.flush()
        return code
    except CliError as error:
        return _fail(*error.args, code=error.code)
    except ControlError as error:
        return _fail(str(error), code=CODES.get(error.code, FAILED))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        return _fail(f"{error.filename or 'the output'}: {error.strerror}", code=FAILED)


def _fail(*lines: str, code: int) -> int:
    from bridge import log

    priority = "<3>" if log.for_journal() else ""  # sd-daemon(3): an error
    for line in lines:
        print(f"{priority}bellpull: {line}", file=sys.stderr)
    return code


def init(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge import discover

    try:
        discover.write(paths.config)
    except OSError as error:
        if isinstance(error, FileExistsError) and paths.config.exists():
            raise CliError(f"{paths.config} is there already; it is left as it is") from None
        raise CliError(f"{paths.config}: cannot be written: {error.strerror}") from None
    option = "" if paths.config == CONFIG else f"--config {paths.config} "
    print(f"{paths.config} is written; look at it, then run: bellpull {option}check")
    return DONE


def check(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge import check as checking
    from bridge.config import ConfigError

    try:
        found, errors, warnings = checking.check(paths)
    except ConfigError as error:
        raise CliError(*error.args, code=USAGE) from None
    for line in errors + warnings:
        print(line)
    if errors or found is None:
        return USAGE
    count = len(found.accessories)
    print(f"{paths.config}: {count} {'accessory' if count == 1 else 'accessories'}, no errors")
    return DONE


def apply(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge import apply as applying
    from bridge.check import grants
    from bridge.config import ConfigError, parse
    from bridge.contract import RouteGrant

    routes: list[RouteGrant] = []

    def load(text: str) -> list[Any]:
        found, errors = parse(text, str(paths.config), builtin_only=True)
        if errors or found is None:
            raise ConfigError(*errors)
        asked = list(grants(found))
        routes.extend(grant for grant in asked if isinstance(grant, RouteGrant))
        return asked

    try:
        applied = applying.apply(paths.config, load)
    except ConfigError as error:
        raise CliError(*error.args, code=USAGE) from None
    except applying.ApplyError as error:
        raise CliError(*error.args) from None
    for line in applied.warnings:
        print(f"warning: {line}", file=sys.stderr)
    print("\n".join(applied.changed or ["nothing to change"]))
    if routes:
        from bridge.vpn.command import prepare

        for line in prepare(routes, changed=bool(applied.changed)):
            print(line)
    return DONE


def run(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge import app, config, log

    log.start()
    try:
        found, errors = config.load(paths.config)
        for line in errors:
            logging.getLogger("bellpull").error("%s", line)
        if found is None:
            return USAGE
        app.serve(found, paths)
    except config.ConfigError as error:
        raise CliError(*error.args, code=USAGE) from None
    except app.AppError as error:
        raise CliError(*error.args) from None
    return DONE


def pairing(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge.pairing import describe

    verb = "reset" if arguments.reset else "unlock" if arguments.unlock else "pair"
    print(describe(client.ask(paths, verb)))
    return DONE


def list_tiles(paths: Paths, arguments: argparse.Namespace) -> int:
    rows = client.ask(paths, "list")
    print(json.dumps(rows, indent=1, ensure_ascii=False) if arguments.json else "\n".join(show.tiles(rows)))
    return DONE


def set_tile(paths: Paths, arguments: argparse.Namespace) -> int:
    answer = client.ask(paths, "set", key=arguments.key, on=arguments.state == "on", wait=arguments.wait)
    codes = {"met": DONE, "unavailable": UNAVAILABLE, "late": ON_ITS_WAY, None: ON_ITS_WAY}
    code = codes.get(answer["outcome"], FAILED)
    if code != DONE:
        said = (arguments.key, answer["outcome"] or "still on its way", answer["reason"])
        raise CliError(": ".join(filter(None, said)), code=code)
    print(f"{arguments.key}: done" if "rest" in answer else f"{arguments.key} is {arguments.state}")
    return DONE


def journal(paths: Paths, arguments: argparse.Namespace) -> int:
    lines = client.stream(paths, "journal", key=arguments.key, last=arguments.lines, follow=arguments.follow)
    for row in lines:
        if "end" not in row:
            print(json.dumps(row, ensure_ascii=False) if arguments.json else show.change(row), flush=True)
    return DONE


def watchdog(paths: Paths, arguments: argparse.Namespace) -> int:
    while True:
        reports = client.ask(paths, "watchdog", key=arguments.key)
        print(
            json.dumps(reports, ensure_ascii=False) if arguments.json else "\n".join(show.watchdogs(reports))
        )
        if not arguments.follow or not reports:
            return DONE
        sys.stdout.flush()
        time.sleep(min(report["next"] for report in reports) + AFTER_CYCLE)


def forget(paths: Paths, arguments: argparse.Namespace) -> int:
    client.ask(paths, "forget", key=arguments.key)
    print(f"{arguments.key} is forgotten; the Home app drops it with its room and automations")
    return DONE


def doctor(paths: Paths, arguments: argparse.Namespace) -> int:
    import asyncio

    from bridge import config
    from bridge import doctor as examining
    from bridge.check import grants as check_grants
    from bridge.contract import RouteGrant

    try:
        found, errors = config.load(paths.config)
    except config.ConfigError as error:
        raise CliError(*error.args, code=USAGE) from None
    if found is None:
        raise CliError(*errors, code=USAGE)
    findings = [examining.Finding(False, line) for line in errors]
    answer = None
    try:
        rows = client.ask(paths, "list")
        findings += [
            examining.Finding(False, f"{row['key']} cannot be observed: {row['reason']}")
            for row in rows
            if row["state"] == "unknown"
        ]
        findings += examining.watchdogs(client.ask(paths, "watchdog"))
        findings += examining.notices(client.ask(paths, "notices"))
        answer = client.ask(paths, "pair")
    except ControlError as error:
        findings.append(examining.Finding(False, str(error)))
    bridge = found.bridge
    findings += asyncio.run(examining.examine(bridge.name, bridge.address, bridge.port, answer))
    for grant in check_grants(found):
        if isinstance(grant, RouteGrant):
            from bridge.vpn import status

            findings += [examining.Finding(ok, line) for ok, line in asyncio.run(status.findings(grant))]
    print("\n".join(show.findings(findings)))
    return DONE if all(finding.ok for finding in findings) else FAILED


def route(paths: Paths, arguments: argparse.Namespace) -> int:
    from bridge.vpn import command

    try:
        lines = command.run(paths, arguments.what, arguments.key, arguments.dry_run, arguments.remove)
        for line in lines:
            print(line, flush=True)
    except command.VpnError as error:
        raise CliError(str(error)) from None
    return DONE
