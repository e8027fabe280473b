"""Telling systemd how the service is: the datagrams of sd_notify(3).

A unit of Type=notify is started when READY=1 arrives, so `systemctl start` waits for recovery, and a dead event
loop is noticed by the watchdog. Without NOTIFY_SOCKET in the environment nothing is sent.
Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
import time


def notify(*assignments: str) -> None:
    """Send assignments such as "READY=1". Never blocks or fails: the service does not depend on being heard."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError:
        return


def notify_alive() -> None:
    """Answer the watchdog, when there is one."""
    if os.environ.get("WATCHDOG_USEC"):
        notify("WATCHDOG=1")


def notify_reloading() -> None:
    """A reload has begun; READY=1 ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_ready(status: str) -> None:
    """Requests are served; `status` is a line for `systemctl status`."""
    notify("READY=1", "STATUS=" + "; ".join(status.splitlines()))
