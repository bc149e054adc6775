import pytest

from rankdet.tools.checkout import CHECKOUT, ensure_checkout


def test_a_checkout_has_what_the_tools_need():
    assert ensure_checkout("compare", CHECKOUT / "train_net.py").is_file()


def test_an_installed_package_is_told_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"compare needs train_net\.py of a checkout"):
        ensure_checkout("compare", tmp_path / "train_net.py")
