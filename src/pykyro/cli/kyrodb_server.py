"""kyrodb_server: the command that serves a database."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pykyro.cli.command import flush_or_discard, integer, run
from pykyro.model.errors import ConfigError, KyroError, causes
from pykyro.model.limits import DIMENSION_MAX, PORT_MAX
from pykyro.system.clock import SystemClock
from pykyro.version import __version__

if TYPE_CHECKING:
    from pykyro.backup.schedule import BackupSchedule
    from pykyro.config import Loaded, Overrides, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 after a clean stop, 1 for any error, 2 for wrong usage."""
    if arguments is None:
        _ignore_what_comes_too_early()
    return run(lambda: _run(_parser().parse_args(arguments)), _report)


def _ignore_what_comes_too_early() -> None:
    """Until the server can reload and seal, being asked to must not kill it: also while its modules are loaded, which
    takes a second on a busy machine. So they are loaded in functions."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _run(options: argparse.Namespace) -> None:
    from pykyro.config import Overrides, generate_template, load_settings

    overrides = Overrides(options.port, options.data_dir, options.dimension, options.distance, options.follow)
    if options.generate_config is not None:
        sys.stdout.write(generate_template(options.generate_config))
    elif options.check_config:
        _check(load_settings(options.config, os.environ, overrides))
    else:
        _serve(options.config, overrides)


def _serve(config: Path | None, overrides: Overrides) -> None:
    # Until it can stop in order, there is nothing to put in order.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Only serving needs the imports of a server.
    from pykyro.config import load_settings
    from pykyro.server.app import run as serve

    def load() -> Loaded:
        return load_settings(config, os.environ, overrides)

    loaded = load()
    _require_backup_place(loaded.settings)
    serve(loaded, load, _scheduled_backups(loaded.settings))
    # A log that nobody reads any more is not how a server ended.
    flush_or_discard(sys.stdout)


def _require_backup_place(settings: Settings) -> None:
    """Raises ConfigError when scheduled backups, or the archive, cannot go where they should."""
    from pykyro.server.replicas import archive_faults

    if faults := archive_faults(settings):
        raise ConfigError(*faults)
    if settings.backup.interval_secs is None or settings.backup.dir is None:
        return
    from pykyro.backup.target.locate import check_place

    try:
        check_place(settings.backup.dir)
    except KyroError as error:
        raise ConfigError(f"backup.dir = {error}") from error


def _scheduled_backups(settings: Settings) -> BackupSchedule | None:
    """The schedule of backups, when backup.interval_secs is set."""
    backup = settings.backup
    if backup.interval_secs is None or backup.dir is None:
        return None
    from pykyro.backup.history.retention import Retention
    from pykyro.backup.schedule import BackupSchedule

    keep = backup.retention
    retention = None
    if keep.prunes:
        retention = Retention(
            hourly=keep.keep_hourly or 0,
            daily=keep.keep_daily or 0,
            weekly=keep.keep_weekly or 0,
            monthly=keep.keep_monthly or 0,
        )
    return BackupSchedule(
        settings.persistence.data_dir, backup.dir, backup.interval_secs, retention, SystemClock()
    )


def _check(loaded: Loaded) -> None:
    """Report that a server can start with the configuration, and the warnings about it. Raises ConfigError."""
    # Only this check needs the imports of a start.
    from pykyro.server.preflight import preflight

    for warning in loaded.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    faults, notes = preflight(loaded.settings)
    try:
        _require_backup_place(loaded.settings)
    except ConfigError as error:
        faults += error.faults
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)
    if faults:
        raise ConfigError(*faults)
    print(f"The configuration is valid: {loaded.path or 'defaults and environment'}")


def _report(error: BaseException) -> None:
    print(f"Error: {error}", file=sys.stderr)
    for cause in causes(error):
        print(f"Caused by: {cause}", file=sys.stderr)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"{port} is not a port: 1 to {PORT_MAX}")
    return port


def _parser() -> argparse.ArgumentParser:
    from pykyro.config import KEYS

    parser = argparse.ArgumentParser(
        prog="kyrodb_server",
        description="Serve a KyroDB database over gRPC, with health and metrics over HTTP.",
        epilog="Each key of the configuration can also be set as KYRODB__SECTION__KEY in the environment.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file, YAML, TOML or JSON (environment: KYRODB_CONFIG)",
    )
    parser.add_argument("-p", "--port", type=_port, help="port of the gRPC server (environment: KYRODB_PORT)")
    parser.add_argument(
        "-d",
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="directory of the database (environment: KYRODB_DATA_DIR)",
    )
    parser.add_argument(
        "--dimension",
        type=integer(1, DIMENSION_MAX),
        metavar="N",
        help="length of every vector, hnsw.dimension (default: 768); an existing database has its own",
    )
    parser.add_argument(
        "--distance",
        choices=KEYS["hnsw.distance"].choices,
        help="distance between two vectors, hnsw.distance (default: cosine)",
    )
    parser.add_argument(
        "--follow",
        metavar="URL",
        help="serve what the archive at URL holds and take no writes, archive.follow",
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="check that a server can start with this configuration, report every fault, and exit; changes nothing",
    )
    parser.add_argument(
        "--generate-config", metavar="FORMAT", help="print the default configuration as yaml or toml and exit"
    )
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb_server {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
