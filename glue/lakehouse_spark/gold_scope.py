"""What of a Gold table must be recomputed: nothing, some partitions, or everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lakehouse_spark import gold_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lakehouse.words import ModelInput, ModelPlan
    from lakehouse_spark.gold_changes import Partition
    from lakehouse_spark.gold_partitions import Axis, Key


@dataclass(frozen=True)
class Scope:
    """The partitions ``keys`` along ``axes``. No axes means everything; axes and no keys mean nothing."""

    axes: list[Axis] = field(default_factory=list)
    keys: set[Key] = field(default_factory=set)

    @property
    def everything(self) -> bool:
        """Whether the whole table is made anew."""
        return not self.axes

    @property
    def nothing(self) -> bool:
        """Whether no row of the table can have changed."""
        return bool(self.axes) and not self.keys

    @property
    def partitions(self) -> list[str]:
        """The partitions as a report names them."""
        return gold_partitions.names(self.axes, self.keys)

    def to_read(self, each: ModelInput, types: Mapping[str, str], timezone: str) -> str | None:
        """Which rows of an input are needed; None for all. ``types`` are its columns' types."""
        if self.everything or not each["mapping"]:
            return None
        keys = gold_partitions.widen(self.axes, self.keys, range(-each["lookback"], 1))
        if keys is None:
            return None
        return gold_partitions.input_condition(self.axes, keys, each, types, timezone)

    def to_write(self) -> str | None:
        """Which rows of the output are replaced; None for all."""
        return None if self.everything else gold_partitions.output_condition(self.axes, self.keys)

    def promised(self, inputs: Iterable[ModelInput]) -> str | None:
        """Where the rows made from the read ones may lie if the mapping holds; None for anywhere."""
        if self.everything:
            return None
        lookback = max(each["lookback"] for each in inputs)
        keys = gold_partitions.widen(self.axes, self.keys, range(-lookback, lookback + 1))
        return None if keys is None else gold_partitions.output_condition(self.axes, keys)


EVERYTHING: Final = Scope()


def scope_of(
    plan: ModelPlan, changes: Mapping[str, frozenset[Partition] | None], types: Mapping[str, str]
) -> Scope:
    """The scope that follows from the inputs' changes since the table was made.

    ``changes`` holds, by the inputs' views, the partitions that gained or lost rows (None: history is gone);
    ``types`` are the types of the Gold table's columns.
    """
    if any(partitions is None for partitions in changes.values()):
        return EVERYTHING
    axes = gold_partitions.axes_of(plan["partition_by"], plan["inputs"], types)
    touched = [each for each in plan["inputs"] if changes[each["view"]]]
    if not touched:
        return Scope(axes or [_ANY_AXIS], set())
    if axes is None or any(not each["mapping"] for each in touched):
        return EVERYTHING
    keys: set[Key] = set()
    for each in touched:
        found = gold_partitions.affected(axes, each, changes[each["view"]] or (), plan["timezone"])
        if found is None or len(keys | found) > gold_partitions.MAX_PARTITIONS:
            return EVERYTHING
        keys |= found
    return Scope(axes, keys)


_ANY_AXIS: Final = gold_partitions.Axis("", "string", None)
