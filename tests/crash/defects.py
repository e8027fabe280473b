"""The list of planted defects. See planted.py."""

from __future__ import annotations

from tests.crash.defect import Defect, Edit
from tests.crash.defect import defect as _defect

_LOG = "pykyro.storage.wal.log:Log"
_WRITER = "pykyro.storage.wal.writer:WalWriter"
_SCAN = "pykyro.storage.wal.reader:SegmentScan"
_RECOVERY = "pykyro.storage.recovery:Recovery"
_SEALING = "pykyro.engine.maintenance.tier_sealing:TierSealing"
_MERGING = "pykyro.engine.maintenance.merging"
_BIT_ROT = "tests.storage.test_bit_rot"
_READER_TESTS = "tests.storage.wal.test_reader"
_REPLACE = "pykyro.storage.files.replace_file:replace_file"

DEFECTS: tuple[Defect, ...] = (
    # --- acknowledging ---
    _defect(
        "acknowledge without any fsync",
        f"{_WRITER}.sync",
        "self._file.sync(data_only=data_only)",
        "pass",
        "log",
    ),
    _defect(
        "acknowledge before the fsync that is asked for",
        f"{_LOG}.append",
        "if self._syncs_before_ack:\n            with",
        "if False:\n            with",
        "log",
    ),
    _defect(
        "try the failed fsync again on the same file",
        f"{_WRITER}.sync",
        "self._file.sync(data_only=data_only)",
        "try:\n        self._file.sync(data_only=data_only)\n"
        "    except OSError:\n        self._file.sync(data_only=data_only)",
        "errors",
    ),
    _defect(
        "stay closed after a failed write",
        f"{_LOG}._failed",
        "if isinstance(error, OSError):\n        self.breaker.trip(error, doing)\n",
        "if isinstance(error, OSError):\n",
        "errors",
    ),
    _defect(
        "close the breaker without a new segment",
        f"{_LOG}.probe",
        "self._start_new_segment()",
        "pass",
        "errors",
    ),
    _defect(
        "a new segment without the frames that were accepted and not synced",
        f"{_LOG}._start_new_segment",
        "frames = [frame for lsn, frame in self._unsynced if lsn > durable.lsn]",
        "frames = []",
        "errors",
        "tests.storage.wal.test_breaker:test_frames_acknowledged_before_their_sync_are_written_again_from_memory",
    ),
    _defect(
        "a new segment that follows what was written, not what was synced",
        f"{_LOG}._start_new_segment",
        "durable = failed.synced",
        "durable = failed.written",
        "log-errors",
    ),
    _defect(
        "a new segment believed without reading it back",
        f"{_LOG}._start_new_segment",
        "self._read_back(writer, frames)",
        "pass",
        "errors",
    ),
    _defect(
        "acknowledge a write that changes nothing while the disk fails",
        "pykyro.storage.wal.log:Log.append",
        "if self.breaker.state is not BreakerState.CLOSED:",
        "if contents and self.breaker.state is not BreakerState.CLOSED:",
        "errors",
        "tests.regress.test_engine:test_delete_of_nothing_is_not_acknowledged_while_a_failed_put_may_come_back",
    ),
    _defect(
        "apply a group to memory though the log refused it",
        "pykyro.engine.write_path:WritePath._write",
        "# A write that would change nothing fails too: one that failed earlier may still come back.\n",
        "for _, records in group.frames: state.apply(state.position, records)\n",
        "errors",
    ),
    _defect(
        "go on with a segment after a short write",
        f"{_WRITER}.write",
        "if self._file.write(piece) != len(piece):",
        "if write_all(self._file, piece):",
        "tests.regress.test_storage:test_short_write_is_not_continued_in_the_same_segment",
    ),
    # --- names ---
    _defect("MANIFEST without fsync", _REPLACE, "file.sync(data_only=False)", "pass", "log"),
    _defect(
        "MANIFEST without fsync of the directory",
        _REPLACE,
        "filesystem.sync_directory(directory)",
        "pass",
        "log",
    ),
    _defect(
        "MANIFEST taken away before the new one has its name",
        _REPLACE,
        "filesystem.replace(temporary, path)",
        "if filesystem.exists(path): filesystem.remove(path)\n    filesystem.replace(temporary, path)",
        "log",
    ),
    _defect(
        "new WAL segment whose name is not durable",
        f"{_WRITER}.__init__",
        "filesystem.sync_directory(directory)",
        "pass",
        "log",
        "points",
    ),
    _defect(
        "segment files without fsync",
        "pykyro.storage.segment.section_file:SectionWriter.finish",
        "self._file.sync(data_only=False)",
        "pass",
        "points",
    ),
    _defect(
        "segment files whose names are not durable when MANIFEST names them",
        f"{_SEALING}._install",
        "context.filesystem.sync_directory(context.directory)",
        "pass",
        "points",
    ),
    _defect(
        "old files removed before MANIFEST lets go of them",
        "pykyro.engine.context:SegmentContext.change_manifest",
        "self.manifests.update(change)\n",
        "old = self.manifests.current.file_names - change(self.manifests.current).file_names\n"
        "    self.remove_files(old)\n    self.manifests.update(change)\n",
        "points",
    ),
    _defect(
        "data_dir whose name is not durable",
        "pykyro.storage.files.lock:make_directories",
        "filesystem.sync_directory(path.parent)",
        "pass",
        "points",
        "tests.storage.files.test_lock:test_every_directory_on_the_way_is_durable",
    ),
    # --- reading ---
    Defect(
        "length outside the header's checksum",
        (
            Edit(
                "pykyro.storage.wal.writer:encode_frame",
                "_CHECKSUM.pack(zlib.crc32(head, seed))",
                "_CHECKSUM.pack(zlib.crc32(head[4:], seed))",
            ),
            Edit(
                f"{_SCAN}._next_frame",
                "zlib.crc32(head[:-4], self.seed) != header_checksum",
                "zlib.crc32(head[4:-4], self.seed) != header_checksum",
            ),
        ),
        ("flips",),
    ),
    _defect(
        "a bad checksum at the end counts as torn",
        f"{_SCAN}._next_frame",
        'raise self._damage("frame body checksum does not match")',
        "return None",
        "flips",
    ),
    _defect(
        "a bad header counts as torn",
        f"{_SCAN}._next_frame",
        'raise self._damage("frame header checksum does not match")',
        "return None",
        "flips",
    ),
    _defect(
        "bodies not proved",
        f"{_SCAN}._next_frame",
        "zlib.crc32(body, self.seed) != checksum or",
        "",
        "flips",
    ),
    _defect(
        "a hole before durable frames counts as torn",
        f"{_SCAN}._frames",
        "self._refuse_hole_before_durable_frames()",
        "pass",
        f"{_BIT_ROT}:test_every_zeroed_sector_before_the_one_where_the_last_group_starts_is_detected",
    ),
    _defect(
        "a torn tail counts as damage",
        f"{_SCAN}._sector_never_written",
        "return any(",
        "return False and any(",
        "log",
    ),
    _defect(
        "whitening left out",
        "pykyro.storage.wal.format:Whitening.__init__",
        "hashlib.shake_256(salt).digest(KEY_STREAM)",
        "bytes(KEY_STREAM)",
        f"{_READER_TESTS}:test_frame_cut_by_the_end_of_the_file_is_torn_at_every_length",
        "tests.storage.wal.test_format:test_no_sector_of_zeros_is_written_as_zeros",
    ),
    _defect(
        "checksums without the segment's seed",
        "pykyro.storage.wal.format:SegmentHeader.seed",
        "return zlib.crc32(self.salt)",
        "return 0",
        f"{_READER_TESTS}:test_document_cannot_pretend_to_be_a_later_frame",
    ),
    _defect(
        "section digests not compared",
        "pykyro.storage.segment.section_file:SectionFile.verify",
        'if found != entry["digest"]:',
        "if False:",
        "flips",
    ),
    _defect(
        "MANIFEST digest not compared",
        "pykyro.storage.manifest:decode_manifest",
        "if digest(body).encode() != words[2]:",
        "if False:",
        f"{_BIT_ROT}:test_every_flipped_bit_of_a_manifest_is_detected",
    ),
    # --- recovering ---
    _defect(
        "page cache trusted at the start",
        f"{_RECOVERY}._copy_unsealed",
        "if contents.last_lsn < contents.header.base_lsn:\n"
        "        self._replace_entry(entry, None)\n        return\n",
        "self._replace_entry(entry, WalEntry(name=entry.name, base_lsn=entry.base_lsn, "
        "last_lsn=contents.last_lsn, end_offset=contents.end_offset) "
        "if contents.last_lsn >= contents.header.base_lsn else None)\n    return\n",
        "log",
        "lives",
    ),
    _defect(
        "files that no MANIFEST names removed before the new MANIFEST is durable",
        f"{_RECOVERY}.start_log",
        "self.secure_log()",
        "self._remove_unnamed_files()\n    self.secure_log()",
        "killed",
    ),
    _defect(
        "numbers of files left by a crash given out again",
        f"{_RECOVERY}.__init__",
        "numbers_from=taken + 1",
        "numbers_from=0",
        "points",
    ),
    _defect(
        "a missing WAL segment skipped",
        f"{_RECOVERY}._present_segments",
        "if entry in needed:",
        "if entry in needed and needed.remove(entry):",
        "tests.storage.test_recovery:test_last_segment_missing_is_refused",
    ),
    _defect(
        "the first operation after a checkpoint not replayed",
        f"{_RECOVERY}.replay",
        "frame.lsn > sealed_lsn:",
        "frame.lsn > sealed_lsn + 1:",
        "points",
    ),
    # --- sealing, merging ---
    _defect(
        "deletes of cold rows not in the checkpoint",
        f"{_SEALING}._write_deleted",
        "if deleted is not None and deleted != segment.checkpoint_deleted:",
        "if False:",
        "points",
    ),
    _defect(
        "log dropped beyond the checkpoint",
        f"{_SEALING}._install",
        "kept_wal(manifest.wal, frozen.lsn, retained)",
        "()",
        "points",
    ),
    _defect(
        "checkpoint that claims one position too many",
        f"{_SEALING}._install",
        '"sealed_lsn": frozen.lsn',
        '"sealed_lsn": frozen.lsn + 1',
        "points",
    ),
    _defect(
        "merge that brings deleted rows back",
        f"{_MERGING}:_deleted_in_merged",
        "merged.update(",
        "list(",
        "points",
    ),
    _defect(
        "merge that leaves out rows that died after the checkpoint",
        f"{_MERGING}:Merging._begin",
        "np.array(segment.checkpoint_deleted, dtype=np.uint32),",
        "np.array(segment.deleted, dtype=np.uint32),",
        "points",
        "lives",
    ),
    _defect(
        "replaced document still alive in its old tier",
        "pykyro.engine.state:State.apply",
        "self._moves += 1\n            before.tier.delete(before.row)",
        "pass",
        "points",
    ),
    _defect(
        "delete applied and not logged",
        "pykyro.engine.resolve:GroupChanges._delete",
        "records.append(DeleteRecord(key))",
        "records.append(DeleteRecord(key)) if len(records) < 2 "
        "else self.state.apply(self.state.position, [DeleteRecord(key)])",
        "points",
    ),
    # --- scopes ---
    _defect(
        "owners left out of a segment",
        "pykyro.storage.segment.writer:write_row_keys",
        "tenanted = bool(owners.any())",
        "tenanted = False",
        "points",
    ),
    _defect(
        "log that does not say whose a document is",
        "pykyro.storage.wal.writer:encode_records",
        "doc_id, owner, len(vector)",
        "doc_id, 0, len(vector)",
        "points",
    ),
    _defect(
        "lookup that takes any row of the id",
        "pykyro.storage.segment.row_keys:RowKeys.rows_of",
        "and (owners is None or owners[rows[at]] == owner)",
        "",
        "points",
    ),
    _defect(
        "whoever has no tenant finds everybody's documents",
        "pykyro.engine.state:State.condition",
        "if scope.tenant is not None or not self.tenanted:",
        "if True:",
        "points",
    ),
    _defect(
        "tenant check left out of lookups",
        "pykyro.engine.tiers.stored_metadata:in_scope",
        "return scope.admits(decode_metadata(reserved))",
        "return True",
        "points",
    ),
    _defect(
        "scope left out of searches",
        "pykyro.model.filter:with_constraints",
        "if not constraints:",
        "if True:",
        "points",
    ),
    _defect(
        "tenant numbers given out before they are durable",
        "pykyro.engine.engine:Engine._tenant_indices",
        "context.manifests.update(lambda manifest: manifest.with_tenants(tenant_ids))",
        "context.manifests.current = context.manifests.current.with_tenants(tenant_ids)",
        "points",
    ),
    # --- snapshots ---
    _defect(
        "snapshot's MANIFEST durable before its links",
        "pykyro.storage.snapshot:link_snapshot",
        "filesystem.sync_directory(target)\n",
        "pass\n",
        "tests.crash.test_planted:snapshot_links_before_manifest",
    ),
    _defect(
        "snapshot whose name is not durable",
        "pykyro.storage.snapshot:link_snapshot",
        "filesystem.sync_directory(parent)\n",
        "pass\n",
        "points",
    ),
    _defect(
        "pruning by name whatever the clock said",
        "pykyro.storage.snapshot:prune_snapshots",
        "if name != newest",
        "",
        "points",
        "tests.regress.test_storage:test_snapshot_made_after_the_clock_was_set_back_is_not_pruned",
    ),
)
