"""A table of detections is the list that was added to it, in less memory."""

import io
import json
import tracemalloc
from collections.abc import Callable, Sized
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdet.evaluation.detection_table import DetectionTable

Record = dict[str, Any]

IMAGES: list[int | str] = [0, 7, 2**40, "aachen/1.png"]


def make_results(number: int, seed: int = 0) -> list[Record]:
    """Detections with all digits that a float has; every second one has a mask."""
    rng = np.random.default_rng(seed)
    results: list[Record] = []
    for index in range(number):
        image = int(rng.integers(len(IMAGES)))
        result: Record = {
            "image_id": IMAGES[image],
            "category_id": int(rng.integers(1203)),
            "bbox": rng.normal(size=4).tolist(),
            "score": rng.random(),
        }
        if index % 2:
            result["segmentation"] = {"size": [image, 640], "counts": f"RLE{index}"}
        results.append(result)
    return results


def table_of(results: list[Record]) -> DetectionTable:
    table = DetectionTable()
    table.add(results)
    return table


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_is_the_list_that_was_added(first: int, second: int, number: int) -> None:
    results = make_results(first + second)
    table = table_of(results[:first])
    table.merge(table_of(results[first:]))
    assert list(table) == table[:] == results
    taken = table.take(number)
    assert list(taken) == results[:number]
    assert list(table) == results[number:]
    assert taken.column("score").tolist() == [result["score"] for result in results[:number]]


def test_has_the_ends_of_a_list() -> None:
    results = make_results(3)
    table = table_of(results)
    assert (len(table), table[-1], table[1:]) == (3, results[-1], results[1:])
    with pytest.raises(IndexError):
        table[3]


@pytest.mark.parametrize("number", [0, 1, 5])
def test_written_file_is_a_result_file(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankdet.evaluation.detection_table.DETECTIONS_PER_WRITE", 2)
    results = make_results(number)
    file = io.StringIO()
    table_of(results).write(file)
    assert json.loads(file.getvalue()) == results


def size(make: Callable[[], Sized]) -> int:
    """Bytes that what is made keeps."""
    tracemalloc.start()
    kept = make()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) == 10_000
    return taken


def test_takes_a_fifth_of_the_memory_of_dicts() -> None:
    results = make_results(10_000)
    for result in results:
        result.pop("segmentation", None)
    text = json.dumps(results)
    assert size(lambda: table_of(results)) < 0.2 * size(lambda: json.loads(text))


def test_mask_takes_a_byte_per_character() -> None:
    result = {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
    mask = {"size": [480, 640], "counts": 40 * "0"}
    text = json.dumps([result | {"segmentation": mask}] * 10_000)
    # What grows is a little longer than it has to be.
    assert size(lambda: table_of(json.loads(text))) < 1.2 * 10_000 * (64 + 40)
