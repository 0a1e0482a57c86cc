"""What `replay` writes beside its resumable runs.

replay_pathways.parquet    a row a source, arm, reference, target, measure and step
replay_sources.parquet     a row a source and arm: what was done, where rollouts part, what it does to their length
first_difference.parquet   a row a source, arm, prompt and trial
replay_logits.parquet      where logits were recorded
replay.json                the summary, with the fingerprint of the rollouts that were read; written last

A folder is of one run: what was read of other rollouts is never written over.
"""

from pathlib import Path

from causeway.engine.analyses.replay.run import FREE, Replayed
from causeway.engine.sweep.durable import remove
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import parse_json, write_json

PATHWAYS, SOURCES = "replay_pathways.parquet", "replay_sources.parquet"
DIFFERENCES, LOGITS, SUMMARY = "first_difference.parquet", "replay_logits.parquet", "replay.json"
FILES = (PATHWAYS, SOURCES, DIFFERENCES, LOGITS, SUMMARY)


def check_workdir(workdir: Path, fingerprint: str, sweep: bool) -> None:
    """Refuse a folder whose tables are of other rollouts.

    Args:
        fingerprint: of the plan of the rollouts. sweep: whether these are those of a finished sweep elsewhere.

    Raises:
        ValueError: the folder has its own rollouts, or what was read of others.
    """
    own = (workdir / FREE).exists()
    if own and sweep:
        raise ValueError(f"workdir: {workdir} has rollouts of its own ({FREE}); name another to read a sweep into")
    # Rollouts that are there are refused by themselves, where they are of another plan.
    if own or not (workdir / SUMMARY).exists():
        return
    told = parse_json((workdir / SUMMARY).read_text(), str(workdir / SUMMARY), "remove it, or name another folder")
    known = told.get("fingerprint") if isinstance(told, dict) else None
    if known != fingerprint:
        raise ValueError(
            f"workdir: {workdir} has what was read of other rollouts (fingerprint {str(known)[:12]}..., of these "
            f"{fingerprint[:12]}...); name another folder"
        )


def write_replay(workdir: Path, found: Replayed) -> None:
    """Write all files into a folder that is there."""
    write_table(workdir / PATHWAYS, found.pathways)
    write_table(workdir / SOURCES, found.sources)
    write_table(workdir / DIFFERENCES, found.differences)
    if found.logits is not None:
        write_table(workdir / LOGITS, found.logits)
    else:
        remove(workdir / LOGITS)
    write_json(workdir / SUMMARY, found.summary)
