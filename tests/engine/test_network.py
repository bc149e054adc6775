import os
import socket

import pytest
import torch

from rankdet.engine import network
from rankdet.engine.network import choose_interface, lost_connection

ADDRESSES = {"lo": "127.0.0.1", "eth0": "10.0.0.2", "eth1": "10.1.0.2"}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Reaches 10.0.0.1 by eth0; its own name is a loopback address, as on Debian."""
    routes = {"master": "10.0.0.2", "me": "127.0.1.1", "127.0.0.1": "127.0.0.1"}
    routes |= {"localhost": "127.0.0.1", "far": "10.9.9.9"}
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setattr(network, "_own_address", lambda host, port: routes[host])
    monkeypatch.setattr(network, "_addresses", lambda: ADDRESSES)
    yield
    os.environ.pop("GLOO_SOCKET_IFNAME", None)


def chosen(url, machine_rank=0):
    choose_interface(url, machine_rank)
    return os.environ.get("GLOO_SOCKET_IFNAME")


def test_interface_is_that_of_the_route_to_the_master():
    assert chosen("tcp://master:29500", machine_rank=1) == "eth0"


def test_choice_of_the_user_stays(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    assert chosen("tcp://master:29500") == "eth1"


@pytest.mark.parametrize("url", ["file:///shared/store", "env://", "tcp://far:1"])
def test_without_a_known_route_the_choice_is_left_to_gloo(url):
    assert chosen(url) is None


def test_master_by_its_own_name_takes_its_only_interface(monkeypatch):
    one = {name: ADDRESSES[name] for name in ("lo", "eth0")}
    monkeypatch.setattr(network, "_addresses", lambda: one)
    assert chosen("tcp://me:29500") == "eth0"


@pytest.mark.parametrize(
    ("url", "machine_rank"),
    [("tcp://me:1", 0), ("tcp://me:1", 1), ("tcp://127.0.0.1:1", 0), ("tcp://localhost:1", 0)],
    ids=["two interfaces", "other machine", "loopback", "localhost"],
)
def test_loopback_address_is_refused(url, machine_rank):
    with pytest.raises(ValueError, match=r"is a loopback address \(127.* GLOO_SOCKET_IFNAME, and"):
        choose_interface(url, machine_rank)


def test_addresses_of_this_machine(monkeypatch):
    monkeypatch.undo()
    assert "127.0.0.1" in network._addresses().values()
    assert network._own_address("127.0.0.1", 1) == "127.0.0.1"


def test_unknown_master(monkeypatch):
    monkeypatch.undo()

    def fail(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ValueError, match=r"no way from this machine to the master 'nowhere' \("):
        choose_interface("tcp://nowhere:1", 0)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.1]:9"),
        RuntimeError("NCCL communicator was aborted on rank 0"),
        torch.distributed.DistStoreError("Timed out after 7 seconds. 2/3 clients joined."),
    ],
)
def test_lost_connection_is_explained(error):
    sentence = lost_connection(error)
    assert "or one did not come within --dist-timeout (" in sentence
    assert "GLOO_SOCKET_IFNAME" in sentence


def test_other_errors_are_no_lost_connection():
    assert lost_connection(RuntimeError("shape mismatch")) == ""
    assert lost_connection(ValueError("gloo")) == ""
