"""What is on disk: parts of rows, committed whole by one rename, under one lock."""

from segcli.shard.compaction import Compacted, compact
from segcli.shard.directory import duckdb_note
from segcli.shard.done import Done
from segcli.shard.facts import Facts, fresh_path, new_command
from segcli.shard.inventory import State
from segcli.shard.joining import OtherSettings
from segcli.shard.output import Output, open_output, peek, preview_output
from segcli.shard.part import PartWriter
from segcli.shard.read import (
    part_paths,
    read_facts,
    read_images,
    read_masks,
    read_roots,
    read_rows,
)
from segcli.shard.schema import get_ready, schema, table
from segcli.shard.split import Split

__all__ = [
    "Compacted",
    "Done",
    "Facts",
    "OtherSettings",
    "Output",
    "PartWriter",
    "Split",
    "State",
    "compact",
    "duckdb_note",
    "fresh_path",
    "get_ready",
    "new_command",
    "open_output",
    "part_paths",
    "peek",
    "preview_output",
    "read_facts",
    "read_images",
    "read_masks",
    "read_roots",
    "read_rows",
    "schema",
    "table",
]
