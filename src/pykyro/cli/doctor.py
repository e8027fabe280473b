"""kyrodb doctor: faults of this installation, and the advice for each."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pykyro.cli.command import API_KEY_VARIABLE
from pykyro.cli.diagnosis.certificates import check_certificates
from pykyro.cli.diagnosis.directory import Examination, check_directory
from pykyro.cli.diagnosis.finding import Finding, Severity, note, ok, wrong
from pykyro.cli.diagnosis.machine import check_disk, check_limits, check_memory, check_ports
from pykyro.cli.diagnosis.memory import check_needed, check_used
from pykyro.cli.diagnosis.running import check_server
from pykyro.cli.observability import endpoint_of
from pykyro.config import Overrides, Settings, load_settings
from pykyro.model.errors import ConfigError, Unavailable
from pykyro.storage.files.lock import owner_of
from pykyro.tenancy.key_file import read_key_file

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands) -> None:
    """Add `doctor`."""
    parser = commands.add_parser(
        "doctor",
        help="find out what is wrong and what to do about it",
        description="Examine configuration, data directory, disk, limits, ports and the running server. Changes "
        "nothing. Exit code 1 when something has to be done. An API key, where the server asks for one, is read "
        "from KYRODB_API_KEY.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-c", "--config", type=Path, help="the server's configuration (environment: KYRODB_CONFIG)"
    )
    parser.add_argument("-d", "--data-dir", type=Path, help="examine this data directory instead")
    parser.add_argument(
        "--memory", action="store_true", help="only memory: what the server uses by part, and what it needs"
    )
    parser.add_argument("--deep", action="store_true", help="read every byte of the data directory")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="output format (default: %(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    findings = []
    examined = examine(options.config, options.data_dir, deep=options.deep, memory=options.memory)
    for finding in examined:
        findings.append(finding)
        if options.format == "text":
            _print(finding)
    if options.format == "json":
        shown = [asdict(finding) | {"severity": finding.severity.value.lower()} for finding in findings]
        json.dump(shown, sys.stdout, indent=2)
        print()
    else:
        _summarise(findings)
    return int(any(finding.severity is Severity.WRONG for finding in findings))


def examine(
    config: Path | None, data_dir: Path | None, *, deep: bool, memory: bool = False
) -> Iterator[Finding]:
    """Everything, in the order in which it has to be corrected; with `memory` that alone, and what hinders it."""
    directory_alone = data_dir is not None
    settings: Settings | None
    try:
        loaded = load_settings(config, os.environ, Overrides(data_dir=data_dir))
    except ConfigError as error:
        for fault in error.faults:
            yield wrong(
                "configuration", fault, "correct it; kyrodb_server --generate-config yaml shows every key"
            )
        settings = None
    else:
        settings = loaded.settings
        yield ok("configuration", str(loaded.path or "defaults and environment"))
        yield from (note("configuration", warning) for warning in loaded.warnings)
        yield from _check_secrets(settings)
        data_dir = settings.persistence.data_dir
        # A directory alone says nothing about the server that it is for.
        settings = settings if loaded.path is not None or not directory_alone else None
    if data_dir is None:
        return
    if memory:
        yield from _examine_memory(settings, data_dir)
        return
    owner = owner_of(data_dir)
    documents = yield from check_directory(data_dir, settings, deep=deep)
    yield from check_disk(data_dir)
    yield from check_limits(owner)
    if settings is not None:
        yield from check_memory(settings, documents)
        yield from _check_service(settings, owner)


def _examine_memory(settings: Settings | None, data_dir: Path) -> Iterator[Finding]:
    if settings is None:
        yield wrong("memory", "there is no configuration to size", "name it with --config")
        return
    documents = yield from _only_faults(check_directory(data_dir, settings, deep=False))
    yield from check_needed(settings, documents, data_dir)
    try:
        yield from check_used(endpoint_of(settings, os.environ.get(API_KEY_VARIABLE, "")))
    except Unavailable:
        yield note("memory used", "no server runs with this configuration")


def _only_faults(examination: Examination) -> Examination:
    """What it found wrong; what it returned is returned."""
    while True:
        try:
            finding = next(examination)
        except StopIteration as stop:
            return int(stop.value)
        if finding.severity is Severity.WRONG:
            yield finding


def _check_secrets(settings: Settings) -> Iterator[Finding]:
    """Files the configuration names and the server has to read at its start."""
    auth, tls, server = settings.auth, settings.server.tls, settings.server
    if auth.enabled and auth.api_keys_file is not None:
        try:
            file = read_key_file(
                auth.api_keys_file, only_loopback=server.grpc_is_loopback and server.http_is_loopback
            )
        except ConfigError as error:
            yield from (
                wrong("API keys", fault, "correct the file; see kyrodb keys") for fault in error.faults
            )
        else:
            yield ok("API keys", f"{auth.api_keys_file}: {len(file.keys)} keys")
            yield from (note("API keys", warning) for warning in file.warnings)
    if tls.enabled:
        yield from check_certificates(tls)


def _check_service(settings: Settings, owner: int | None) -> Iterator[Finding]:
    endpoint = endpoint_of(settings, os.environ.get(API_KEY_VARIABLE, ""))
    try:
        yield from check_server(endpoint)
    except Unavailable as error:
        if owner is None:
            yield note("server", "no server runs on this data directory")
            yield from check_ports(settings)
        else:
            yield wrong(
                "server",
                f"process {owner} has the data directory open, but no server answers: {error}",
                "check whether it runs with another configuration; otherwise restart it",
            )


def _print(finding: Finding) -> None:
    print(f"{finding.severity.value:<6} {finding.topic}: {finding.text}")
    if finding.advice:
        print(f"       → {finding.advice}")


def _summarise(findings: Sequence[Finding]) -> None:
    faults = sum(finding.severity is Severity.WRONG for finding in findings)
    notes = sum(finding.severity is Severity.NOTE for finding in findings)
    things = "Nothing has to be done" if not faults else f"{faults} to correct"
    print(f"\n{things}" + (f", {notes} worth a look." if notes else "."))
