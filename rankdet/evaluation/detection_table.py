"""A table that holds the detections of a whole data set in little memory."""

import json
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any, overload

from detectron2.utils import comm

from rankdet.data.annotation_file import Record

DETECTIONS_PER_MESSAGE = 100_000
DETECTIONS_PER_WRITE = 10_000


class DetectionTable(Sequence[Record]):
    """Detections in columns, which look like the list of dicts that COCO's result files hold.

    Each dict is made when it is asked for, because six million of them would take gigabytes. It
    has ``image_id``, ``category_id``, ``score``, ``bbox`` (x, y, width, height) and, if it was
    given, ``segmentation`` (RLE). In the table, a detection takes 64 bytes, and one more per
    character of the RLE. A new table is empty.
    """

    def __init__(self) -> None:
        self._image_ids: list[int | str] = []
        self._category_ids = array("q")
        self._scores = array("d")
        self._boxes = array("d")
        self._counts = bytearray()  # The RLEs of all masks, without gaps.
        # The RLE of detection i lies between bounds i and i + 1; without a mask these are equal.
        # Bytes that were taken still count: the first byte that is left is self._bounds[0].
        self._bounds = array("q", [0])
        self._mask_sizes: dict[int | str, list[int]] = {}

    def __len__(self) -> int:
        """Number of detections."""
        return len(self._image_ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Make the dict of one detection, or those of several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        result: Record = {
            "image_id": self._image_ids[index],
            "category_id": self._category_ids[index],
            "bbox": self._boxes[4 * index : 4 * index + 4].tolist(),
            "score": self._scores[index],
        }
        start, end = (bound - self._bounds[0] for bound in self._bounds[index : index + 2])
        counts = self._counts[start:end]
        if counts:
            result["segmentation"] = {
                "size": self._mask_sizes[result["image_id"]],
                "counts": counts.decode("ascii"),
            }
        return result

    def column(self, key: str) -> Sequence[Any]:
        """All ``image_id``, ``category_id`` or ``score``, without making the dicts."""
        columns: dict[str, Sequence[Any]] = {
            "image_id": self._image_ids,
            "category_id": self._category_ids,
            "score": self._scores,
        }
        return columns[key]

    def add(self, results: Sequence[Record]) -> None:
        """Append detections.

        Args:
            results: dicts as this table returns them; the masks of an image have one size.
        """
        for result in results:
            mask = result.get("segmentation")
            self._image_ids.append(result["image_id"])
            self._category_ids.append(result["category_id"])
            self._scores.append(result["score"])
            self._boxes.extend(result["bbox"])
            if mask is not None:
                self._counts += mask["counts"].encode("ascii")
                self._mask_sizes[result["image_id"]] = mask["size"]
            self._bounds.append(self._bounds[0] + len(self._counts))

    def take(self, number: int) -> "DetectionTable":
        """Remove the first detections, up to a number of them, and return them."""
        taken = DetectionTable()
        taken._image_ids, self._image_ids = self._image_ids[:number], self._image_ids[number:]
        taken._bounds = self._bounds[: number + 1]
        del self._bounds[: len(taken._bounds) - 1]
        taken._counts = self._counts[: self._bounds[0] - taken._bounds[0]]
        del self._counts[: len(taken._counts)]
        images = set(taken._image_ids)
        taken._mask_sizes = {i: size for i, size in self._mask_sizes.items() if i in images}
        for name, width in (("_category_ids", 1), ("_scores", 1), ("_boxes", 4)):
            values = getattr(self, name)
            setattr(taken, name, values[: width * number])
            del values[: width * number]
        return taken

    def merge(self, other: "DetectionTable") -> None:
        """Append all detections of another table."""
        # A table from another process has its ids one by one, not one object for each image.
        shared = {image_id: image_id for image_id in other._image_ids}
        self._image_ids += map(shared.__getitem__, other._image_ids)
        shift = self._bounds[-1] - other._bounds[0]
        self._bounds.extend(bound + shift for bound in other._bounds[1:])
        self._category_ids += other._category_ids
        self._scores += other._scores
        self._boxes += other._boxes
        self._counts += other._counts
        self._mask_sizes |= other._mask_sizes

    def write(self, file: IO[str]) -> None:
        """Write a COCO result file: a JSON list with one detection per line."""
        results = iter(self)
        separator = "[\n"
        while chunk := list(islice(results, DETECTIONS_PER_WRITE)):
            file.write(separator + ",\n".join(map(json.dumps, chunk)))
            separator = ",\n"
        file.write("\n]\n" if self else "[]\n")

    def __iter__(self) -> Iterator[Record]:
        """Make the dicts one by one."""
        return (self[index] for index in range(len(self)))


def gather_detections(table: DetectionTable) -> None:
    """Move the detections of all processes into the table of the main one, some at a time.

    Sending all at once would hold them three times: as tables, as the bytes that are sent, and as
    the bytes that arrive.

    Args:
        table: the detections of this process. Afterwards it is empty, except in the main process.
    """
    is_main = comm.is_main_process()
    while any(comm.all_gather(0 if is_main else len(table))):
        part = DetectionTable() if is_main else table.take(DETECTIONS_PER_MESSAGE)
        for received in comm.gather(part):
            table.merge(received)
