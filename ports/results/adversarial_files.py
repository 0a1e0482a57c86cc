"""What `adversarial` writes.

adversarial.jsonl    held-out prompts of all arms, records that `--prompts` reads: behaviour is the arm
words.parquet        a row for each word tried: weight, push on choosing prompts, held-out margin change of kept ones
adversarial.json     words, error rates by arm and what follows; written last
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import encode
from causeway.ports.files.json_text import write_json
from causeway.ports.prompts.prompt_files import write_prompts

PROMPTS, WORDS, ABOUT = "adversarial.jsonl", "words.parquet", "adversarial.json"
FILES = (PROMPTS, WORDS, ABOUT)


def remove_adversarial(folder: Path) -> None:
    """Removes earlier results, the summary first."""
    for name in reversed(FILES):
        durable.remove(folder / name)


def write_adversarial(
    folder: Path, prompts: Sequence[PromptRecord], words: pa.Table, summary: Mapping[str, Any]
) -> None:
    """Write all files into a folder that is there."""
    write_prompts(folder / PROMPTS, prompts)
    durable.write_bytes(folder / WORDS, encode(words))
    write_json(folder / ABOUT, dict(summary))
