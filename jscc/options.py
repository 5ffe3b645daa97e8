"""Options as a request or a row names them: those chosen, by name, without those left at their defaults."""

from collections.abc import Iterator, Mapping

OptionValue = bool | int | float | str


class ChosenOptions(Mapping[str, OptionValue]):
    """A frozen mapping, equal to any mapping of the same items; it can be a part of what tells things apart.

    Args:
        values: value by name, in any order.
    """

    __slots__ = ("_items",)

    def __init__(self, values: Mapping[str, OptionValue] | None = None) -> None:
        """Keep the items by name."""
        self._items = tuple(sorted((values or {}).items()))

    def __getitem__(self, name: str) -> OptionValue:
        """Return the value of a name."""
        return dict(self._items)[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names in alphabetical order."""
        return (name for name, _ in self._items)

    def __len__(self) -> int:
        """Return how many options are chosen."""
        return len(self._items)

    def __hash__(self) -> int:
        """Return the same for equal items."""
        return hash(self._items)

    def __repr__(self) -> str:
        """Return what makes an equal object."""
        return f"ChosenOptions({dict(self._items)!r})"

    def __str__(self) -> str:
        """Write the options as the command line takes them, "K=1, soft=true"; "" for none."""
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in self._items}
        return ", ".join(f"{name}={text}" for name, text in texts.items())
