"""What control groups allow: versions 1 and 2, nested, seen from inside and outside a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.system.memory import allowed_bytes, anonymous_bytes, cgroup_limits, give_memory_back


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n", "utf-8")
    return root


@pytest.mark.parametrize(
    ("own", "files", "limits"),
    [
        pytest.param("0::/", {}, [], id="none"),
        pytest.param("0::/", {"memory.max": "max"}, [], id="v2 without a limit"),
        pytest.param("0::/", {"memory.max": "1000"}, [1000], id="v2 in a container"),
        pytest.param(
            "0::/outer.slice/inner.service",
            {
                "outer.slice/memory.max": "500",
                "outer.slice/memory.high": "max",
                "outer.slice/inner.service/memory.max": "max",
                "outer.slice/inner.service/memory.high": "700",
            },
            [700, 500],
            id="v2 nested",
        ),
        pytest.param(
            "5:devices:/x\n4:cpu,memory:/a/b\n0::/",
            {
                "memory/a/b/memory.limit_in_bytes": "300",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            [300, 9223372036854771712],
            id="v1 nested",
        ),
        pytest.param(
            "4:memory:/docker/0123", {"memory/memory.limit_in_bytes": "400"}, [400], id="v1 in a container"
        ),
        pytest.param("0::/a", {"unified/a/memory.max": "600"}, [600], id="both versions"),
        pytest.param(
            "0::/../sibling", {"memory.max": "1", "sibling/memory.max": "2"}, [2, 1], id="above the root"
        ),
        pytest.param("nonsense\n\n7:memory\n0::", {"memory.max": "garbage"}, [], id="unreadable"),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, own: str, files: dict[str, str], limits: list[int]) -> None:
    mounted = written(tmp_path / "mounted", files)
    (tmp_path / "own").write_text(own + "\n", "utf-8")
    assert list(cgroup_limits(tmp_path / "own", mounted)) == limits


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert list(cgroup_limits(tmp_path / "none", tmp_path / "neither")) == []


def test_this_process_has_memory_and_may_have_more() -> None:
    assert 1 << 20 < anonymous_bytes() < allowed_bytes()
    give_memory_back()
    assert anonymous_bytes() > 1 << 20
