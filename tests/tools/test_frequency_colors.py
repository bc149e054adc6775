import pytest
from matplotlib.figure import Figure

from rankdet.tools.frequency_colors import class_colors, legend_handles, name_classes


def test_legend_shows_the_colors_of_the_classes():
    handles = legend_handles("s")
    assert [handle.get_label() for handle in handles] == ["rare", "common", "frequent"]
    colors = [handle.get_color() for handle in handles]
    assert colors == class_colors(["r", "c", "f"])
    assert len(set(colors)) == 3


@pytest.mark.parametrize(("names", "rotation"), [(["a", "b"], 0), (["cat", "b"], 90)])
def test_few_classes_are_named_and_long_names_turned(names, rotation):
    axes = Figure().subplots()
    name_classes(axes, names, "classes")
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}
    assert axes.get_xlabel() == "classes"


def test_many_classes_are_not_named():
    axes = Figure().subplots()
    name_classes(axes, [f"class_{index}" for index in range(61)], "classes")
    assert "class_0" not in [label.get_text() for label in axes.get_xticklabels()]
    assert axes.get_xlabel() == "classes"
