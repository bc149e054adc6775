"""Groups of classes by their frequency in training, over which metrics are averaged."""

from rankdet.data.annotation_file import Record


def class_groups(categories: list[Record]) -> dict[str, list[int]]:
    """Group the category ids: "all", and "r", "c", "f" where every category has a frequency."""
    groups = {"all": sorted(category["id"] for category in categories)}
    if all("frequency" in category for category in categories):
        for group in "rcf":
            groups[group] = sorted(c["id"] for c in categories if c["frequency"] == group)
    return groups
