"""The bottom layer of a graph as an array: joining two sets of links, and leaving no row out of reach.

Links have shape (n, width), int32: the rows each row links to, closed up to the left, -1 where there is none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Links = npt.NDArray[np.int32]

_CHUNK_ROWS: Final = 1 << 14


def merged(first: Links, second: Links) -> Links:
    """The links of two graphs of the same rows, shape as each of them.

    A row keeps its best links from both: half of the places go to those the first graph lists first, half to
    the second's, and places left over to the rest.
    """
    half = first.shape[1] // 2
    joined = np.empty_like(first)
    for start in range(0, len(first), _CHUNK_ROWS):
        one, other = first[start : start + _CHUNK_ROWS], second[start : start + _CHUNK_ROWS]
        offered = np.hstack([one[:, :half], other[:, :half], one[:, half:], other[:, half:]])
        order = np.argsort(offered, axis=1, kind="stable")
        ordered = np.take_along_axis(offered, order, axis=1)
        repeated = np.zeros(offered.shape, dtype=np.bool_)
        np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        useless = repeated | (offered < 0)
        kept = np.argsort(useless, axis=1, kind="stable")[:, : first.shape[1]]
        joined[start : start + _CHUNK_ROWS] = np.where(
            np.take_along_axis(useless, kept, axis=1), -1, np.take_along_axis(offered, kept, axis=1)
        )
    return joined


def connect(links: Links, entry: int) -> int:
    """Link rows that no walk from row `entry` reaches to one that is reached, in place; returns how many.

    Pruning can take a row's last incoming link: it then exists but is never found. Such a row links to near
    ones itself, so the nearest of those that has a free place links back.
    """
    reached = np.zeros(len(links), dtype=np.bool_)
    _mark(links, entry, reached)
    connected = 0
    progress = True
    while progress:
        progress = False
        for row in np.flatnonzero(~reached).tolist():
            near = links[row][links[row] >= 0]
            hosts = [host for host in near.tolist() if reached[host] and links[host, -1] < 0]
            if hosts and not reached[row]:  # it may be by now, through a row connected before
                links[hosts[0], int(np.argmax(links[hosts[0]] < 0))] = row
                connected += 1
                progress = True
                _mark(links, row, reached)
    return connected


def _mark(links: Links, start: int, reached: npt.NDArray[np.bool_]) -> None:
    """Mark what can be reached from `start` without passing rows marked before."""
    frontier = np.array([start])
    while len(frontier):
        reached[frontier] = True
        met = np.unique(links[frontier])
        frontier = met[(met >= 0) & ~reached[met]]
