"""Chooses the network interface of a job on several machines, and explains its failures."""

import fcntl
import os
import re
import socket
import struct
from urllib.parse import urlsplit

import torch

_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface
_REMEDY = (
    "give the master's address in the network as --dist-url tcp://ADDRESS:PORT (torchrun: "
    "--master-addr), or set GLOO_SOCKET_IFNAME, and NCCL_SOCKET_IFNAME for GPUs, to the interface "
    "(`ip addr` lists them)"
)


def choose_interface(dist_url: str, machine_rank: int) -> None:
    """Make gloo use the interface of the route to the master.

    By default gloo takes the address that this machine's host name resolves to. On Debian this is
    a loopback address, which no other machine can reach. NCCL never uses loopback. If
    GLOO_SOCKET_IFNAME is set already, it stays.

    Args:
        dist_url: ``tcp://HOST:PORT`` of the master; others, and IPv6, are left to gloo.
        machine_rank: of this machine; 0 is the master.

    Raises:
        ValueError: HOST is unknown here or is a loopback address, and the machine has several
            interfaces, or is not the master.
    """
    if "GLOO_SOCKET_IFNAME" in os.environ or not dist_url.startswith("tcp://"):
        return
    url = urlsplit(dist_url)
    own, addresses = _own_address(url.hostname or "", url.port or 0), _addresses()
    names = [name for name, address in addresses.items() if address == own]
    if own.startswith("127."):
        # The master's own name often resolves to loopback; others can still reach the master.
        is_master = machine_rank == 0 and url.hostname not in ("localhost", own)
        names = [name for name, other in addresses.items() if not other.startswith("127.")]
        if not is_master or len(names) != 1:
            raise ValueError(
                f"--dist-url {dist_url} is a loopback address ({own}) on this machine, by which "
                f"machines can't reach each other; {_REMEDY}."
            )
    if names:
        os.environ["GLOO_SOCKET_IFNAME"] = names[0]


def _own_address(host: str, port: int) -> str:
    """The address by which this machine talks to a host; nothing is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ValueError(
            f"there is no way from this machine to the master {host!r} ({error}); {_REMEDY}."
        ) from error


def _addresses() -> dict[str, str]:
    """Interface to IPv4 address, of those that have one."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                request = struct.pack("256s", name.encode()[:15])
                reply = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue
            found[name] = socket.inet_ntoa(reply[20:24])
    return found


def lost_connection(error: BaseException) -> str:
    """Explain an error of torch.distributed; empty for other errors.

    Args:
        error: of ``init_process_group``, or of a collective.
    """
    text = str(error)
    is_collective = isinstance(error, RuntimeError) and re.search("gloo|NCCL", text)
    if not is_collective and not isinstance(error, torch.distributed.DistError):
        return ""
    return explain_lost(text.partition("\n")[0])


def explain_lost(cause: str) -> str:
    """The sentence for a job whose processes do not find each other, or no longer."""
    return (
        "the connection to another process of the job was lost, or one did not come within "
        f"--dist-timeout ({cause.rstrip('.')}); start the same command on all machines, each with "
        f"its --machine-rank, and --resume if there is a checkpoint; if they never met, {_REMEDY}."
    )
