"""Charts of one table beside each other, each of the rows of its own panel."""

from collections.abc import Mapping
from typing import Any

import altair as alt

COLUMNS = 2


def panels(made: Mapping[str, Any]) -> Any:
    """The charts as one.

    Args:
        made: charts by the panel, which is a value of the table's column panel.
    """
    parts = [
        chart.transform_filter(alt.FieldEqualPredicate(field="panel", equal=name)).properties(title=name)
        for name, chart in made.items()
    ]
    return alt.concat(*parts, columns=COLUMNS) if len(parts) > 1 else parts[0]
