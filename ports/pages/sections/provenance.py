"""What a result was made from and with, at the end of its section: a methods paragraph, and all of it folded away."""

from causeway.ports.pages.methods import paragraph
from causeway.ports.pages.section import Block, Facts, Prose
from causeway.ports.pages.workdir import Result


def provenance(result: Result) -> list[Block]:
    """The methods paragraph; model, fingerprint, versions and device; and the plan, where the result has one."""
    plan = result.plan
    facts = {
        "command": result.command or f"causeway {result.driver}",
        "folder": str(result.folder),
        **({"model": result.model} if result.model else {}),
        **({"fingerprint": plan["fingerprint"]} if "fingerprint" in plan else {}),
        **result.environment,
    }
    said = paragraph(result)
    blocks: list[Block] = [Prose(f"Methods. {said}", "note")] if said else []
    blocks.append(Facts("Where and with what this was computed", facts))
    if plan:
        settings = {**plan.get("config", {}), "digests": plan.get("parts", {})}
        blocks.append(Facts("The plan: every setting that decides the numbers", settings))
    elif flags := result.about.get("flags"):
        blocks.append(Facts("The command's flags", flags))
    return blocks
