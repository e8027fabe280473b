"""Generate the protobuf modules of pykyro.proto. `python scripts/generate_proto.py [output root]`."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parent.parent / "src"
PROTO_FILES = ("pykyro/proto/kyrodb.proto", "pykyro/proto/kyrodb_wire.proto")
# See pykyro/proto/pool.py for the reason.
DEFAULT_POOL_IMPORT = "from google.protobuf import descriptor_pool as _descriptor_pool\n"
OWN_POOL_IMPORT = "from pykyro.proto.pool import POOL as _pool\n"
DEFAULT_POOL, OWN_POOL = "_descriptor_pool.Default()", "_pool"
# protoc's stubs say `Mapping` without its arguments, which a strict type check refuses.
STUB_HEADER = '# mypy: disable-error-code="type-arg"\n'


def generate(output_root: Path) -> None:
    """Write `pykyro/proto/*_pb2.py` and `.pyi` below `output_root`. Raises RuntimeError when protoc fails."""
    # Only who changes the contract needs the compiler, so it is no dependency of the package.
    import grpc_tools  # type: ignore[import-untyped]
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    # With the package root as the import path, protoc writes imports that work as they are.
    status = protoc.main(
        [
            "protoc",
            f"-I{SOURCE_ROOT}",
            f"-I{well_known}",
            f"--python_out={output_root}",
            f"--pyi_out={output_root}",
            *PROTO_FILES,
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    for proto_file in PROTO_FILES:
        module = output_root / proto_file.replace(".proto", "_pb2.py")
        text = module.read_text()
        if text.count(DEFAULT_POOL) != 1 or text.count(DEFAULT_POOL_IMPORT) != 1:
            raise RuntimeError(f"{module} has another form; its descriptor pool must be pykyro.proto.pool")
        text = text.replace(DEFAULT_POOL_IMPORT, OWN_POOL_IMPORT).replace(DEFAULT_POOL, OWN_POOL)
        module.write_text(text)
        stub = output_root / proto_file.replace(".proto", "_pb2.pyi")
        stub.write_text(STUB_HEADER + stub.read_text())


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE_ROOT)
