"""Files of a checkout that an installed package does not have: configs and train_net.py."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def ensure_checkout(tool: str, path: Path) -> Path:
    """Return a file or folder of the checkout that rankdet is imported from.

    Args:
        tool: what needs it, for the message.
        path: where it is in a checkout.

    Raises:
        FileNotFoundError: rankdet was installed without its checkout.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{tool} needs {path.name} of a checkout of rankdet, which {CHECKOUT} is not; run it "
            "in a checkout, or install that with `pip install --editable CHECKOUT`."
        )
    return path
