from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temper.benchmarks.remote.hosts import Host, choose_hosts, parse_host, read_hosts
from temper.core.errors import UsageError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(st.none() | NAMES, NAMES, st.none() | st.integers(1, 65535))
def test_what_is_written_is_read(user: str | None, address: str, port: int | None) -> None:
    text = f"{'' if user is None else f'{user}@'}{address}{'' if port is None else f':{port}'}"
    host = parse_host(text)
    assert (host.user, host.address, host.port) == (user, address, port)


@given(st.text(max_size=60))
def test_any_text_is_a_host_with_a_harmless_name_or_wrong_use(text: str) -> None:
    try:
        host = parse_host(text)
    except UsageError:
        return
    assert host.name and "/" not in host.name and host.name not in (".", "..") and host.name.isascii()
    assert not host.address.startswith("-") and not (host.user or "").startswith("-")
    assert not any(c.isspace() for c in host.address)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [("root@fe80::1", "fe80::1", None), ("root@[fe80::1]:2222", "fe80::1", 2222), ("[::1]", "::1", None)],
)
def test_addresses_of_ipv6(text: str, address: str, port: int | None) -> None:
    host = parse_host(text)
    assert (host.address, host.port) == (address, port)
    assert ":" not in host.name


@pytest.mark.parametrize(
    "text", ["", "root@", "a b", "-oProxyCommand=sh@x", "x@-oProxyCommand=sh", "a:0", "a:65536", "a:b"]
)
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no host: write user@host or user@host:port"):
        parse_host(text)


def test_a_file_of_hosts(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(
        "hosts:\n"
        "  - {name: line-3, address: 10.0.3.7, user: nvidia, port: 2222, identity: '${KEYS}/line',\n"
        "     python: /usr/bin/python3,\n"
        "     system_site_packages: false, device: jetson-orin-nano-8gb, runtimes: [tensorrt], precisions: [int8],\n"
        "     batches: [1, 4]}\n"
        "  - {name: bench, address: bench.example}\n"
    )
    assert read_hosts(path, {"KEYS": "/keys"}) == [
        Host(
            "line-3", "10.0.3.7", "nvidia", 2222, Path("/keys/line"), "/usr/bin/python3", False, "jetson-orin-nano-8gb",
            ("tensorrt",), ("int8",), (1, 4),
        ),
        Host("bench", "bench.example"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hosts: []\n", r"hosts.yml, line 1: hosts is \[\]; it takes a list of one or more"),
        ("hosts:\n  - name: a\n", "hosts.0.address is missing; it takes a text"),
        (
            "hosts:\n  - {name: a, address: b, prot: 3}\n",
            r"there is no field 'prot' in 'hosts.0'. Did you mean 'port'\?",
        ),
        ("hosts:\n  - {name: ../a, address: b}\n", r"hosts.0.name is '../a'; it takes letters, digits"),
        ("hosts:\n  - {name: a, address: '-oX'}\n", "it is no address or user"),
        ("hosts:\n  - {name: a, address: b}\n  - {name: a, address: c}\n", "a stands there twice"),
        ("hosts:\n  - {name: a, address: b, identity: '${NONE}/x'}\n", "the environment variable NONE is not set"),
        ("hosts:\n  - {name: a, address: b, batches: [0]}\n", "a whole number from 1 to 1024"),
    ],
)
def test_mistakes_in_a_file_of_hosts_are_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_hosts(path, {})


def test_hosts_are_chosen_by_name_or_address() -> None:
    known = [Host("line-3", "10.0.3.7"), Host("bench", "10.0.3.8")]
    assert choose_hosts([], known) == known
    assert choose_hosts(["bench", "me@10.0.3.9"], known) == [known[1], Host("10.0.3.9", "10.0.3.9", "me")]
    with pytest.raises(UsageError, match=r"no host 'lime-3' in the file of hosts. Did you mean 'line-3'\?"):
        choose_hosts(["lime-3"], known)
    with pytest.raises(UsageError, match="no machine to measure on"):
        choose_hosts([], [])
    with pytest.raises(UsageError, match=r"10.0.3.9 is asked for twice"):
        choose_hosts(["me@10.0.3.9", "me@10.0.3.9"], [])


@given(st.lists(st.tuples(NAMES, st.sampled_from(["a", "b"]), st.sampled_from([22, 23])), max_size=8, unique=True))
def test_every_host_has_a_folder_of_its_own(entries: list[tuple[str, str, int]]) -> None:
    hosts = choose_hosts([f"{user}@{address}:{port}" for user, address, port in entries] or ["x@y"], [])
    assert len({host.name for host in hosts}) == len(hosts)
