"""The output on disk: parts of rows, each committed by an atomic rename under a lock."""

from segcli.store.compaction import Compacted, compact
from segcli.store.compatibility import OtherSettings
from segcli.store.directory import duckdb_note
from segcli.store.footer import Settings, fresh_path, new_command
from segcli.store.inventory import State
from segcli.store.key_index import KeyIndex
from segcli.store.min_scores import MinScores, default_sentence, min_scores
from segcli.store.output import Output, open_output, peek, preview_output
from segcli.store.output_lock import OutputLock, lock_output
from segcli.store.part_reader import (
    part_paths,
    peek_carried,
    read_images,
    read_masks,
    read_roots,
    read_rows,
    read_settings,
)
from segcli.store.part_writer import PartWriter
from segcli.store.schema import get_ready, schema, table
from segcli.store.shard_spec import ShardSpec
from segcli.store.status import Status, status

__all__ = [
    "Compacted",
    "KeyIndex",
    "MinScores",
    "Settings",
    "OtherSettings",
    "OutputLock",
    "Output",
    "PartWriter",
    "ShardSpec",
    "State",
    "Status",
    "compact",
    "default_sentence",
    "duckdb_note",
    "fresh_path",
    "get_ready",
    "lock_output",
    "min_scores",
    "new_command",
    "open_output",
    "part_paths",
    "peek",
    "peek_carried",
    "preview_output",
    "read_settings",
    "read_images",
    "read_masks",
    "read_roots",
    "read_rows",
    "schema",
    "status",
    "table",
]
