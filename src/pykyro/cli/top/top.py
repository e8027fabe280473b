"""kyrodb top: a live view of a running server, from its HTTP port alone."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pykyro.cli.command import API_KEY_VARIABLE
from pykyro.cli.observability import Endpoint, Reading, checked_url, endpoint_of, parse_exposition
from pykyro.config import load_settings
from pykyro.model.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands) -> None:
    """Add `top`."""
    parser = commands.add_parser(
        "top",
        help="watch a running server",
        description="Rates, latencies, tiers, cache, log and objectives of a running server, live; Ctrl-C ends it. "
        "An API key, where the server asks for one, is read from KYRODB_API_KEY.",
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-u", "--url", help="the HTTP port, such as http://localhost:51051")
    source.add_argument(
        "-c", "--config", type=Path, help="the server's configuration (environment: KYRODB_CONFIG)"
    )
    parser.add_argument(
        "-i",
        "--interval",
        type=_interval,
        default=2.0,
        metavar="S",
        help="seconds between two readings (default: 2)",
    )
    parser.add_argument("--once", action="store_true", help="show one frame and end")
    parser.set_defaults(run=_run)


def read(endpoint: Endpoint) -> Reading:
    """The present answers of the server. Raises Unavailable."""
    status, health = endpoint.get_json("/health")
    metrics_status, metrics = endpoint.get("/metrics")
    if 401 in (status, metrics_status):
        raise Unavailable(f"{endpoint.url} asks for an API key: put one into KYRODB_API_KEY")
    _, slo = endpoint.get_json("/slo")
    return Reading(endpoint.url, time.monotonic(), parse_exposition(metrics), health or {}, slo or {})


def _run(options: argparse.Namespace) -> None:
    try:
        # Only this command needs the terminal library, which is an extra.
        from rich.console import Console
        from rich.live import Live

        from pykyro.cli.top.view import frame
    except ModuleNotFoundError as error:
        raise ConfigError("kyrodb top needs the extra cli-tools: pip install 'pykyro[cli-tools]'") from error

    endpoint = _endpoint(options)
    before = read(endpoint)
    time.sleep(min(options.interval, 1.0))
    now = read(endpoint)
    console = Console()
    if options.once:
        console.print(frame(before, now))
        return
    with Live(frame(before, now), console=console, screen=sys.stdout.isatty(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(options.interval)
                try:
                    before, now = now, read(endpoint)
                except Unavailable as error:
                    # It may be restarting; watching goes on.
                    live.update(f"no answer: {error}", refresh=True)
                else:
                    live.update(frame(before, now), refresh=True)
        except KeyboardInterrupt:
            return


def _endpoint(options: argparse.Namespace) -> Endpoint:
    key = os.environ.get(API_KEY_VARIABLE, "")
    if options.url is not None:
        return Endpoint(checked_url(options.url), key)
    return endpoint_of(load_settings(options.config, os.environ).settings, key)


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.1 to 3600 seconds")
    return seconds
