"""Whatever a password holds, and however it stands in an address, messages do not."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from temper.core.passwords import address_shown, without_passwords

# a mark that nothing else in the texts has, with anything around it
PASSWORDS = st.builds(
    lambda before, after: f"{before}s3cretQ{after}",
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12),
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12),
)
ADDRESSES = ("rtsp://{user}:{password}@10.0.0.5:554/a?b=c", "postgresql+psycopg://{user}:{password}@[::1]/db")


@given(PASSWORDS, st.sampled_from(ADDRESSES), st.booleans(), st.sampled_from(["admin", "", "a.b-c"]))
@example("/s3cretQ", ADDRESSES[0], False, "admin")
@example("s3cretQ#?", ADDRESSES[0], False, "admin")
@example("a@s3cretQ@b", ADDRESSES[0], False, "admin")
@example("[s3cretQ", ADDRESSES[0], False, "admin")
@example(" rtsp://s3cretQ", ADDRESSES[0], False, "admin")
@example("s3cretQ password=@x", ADDRESSES[0], False, "admin")
def test_no_password_is_shown(password: str, form: str, encoded: bool, user: str) -> None:
    address = form.format(user=user, password=quote(password, safe="") if encoded else password)
    host = form.partition("{password}@")[2].partition("?")[0]
    text = f"The camera top cannot open {address} (refused)."
    assert "s3cretQ" not in without_passwords(text)
    assert host in without_passwords(text)
    assert without_passwords(text).startswith("The camera top cannot open ")
    assert address_shown(address) == form.partition("{user}")[0] + host


@given(PASSWORDS, st.sampled_from(["password", "PWD", "passwd", "token"]))
def test_nor_one_in_a_query_or_a_path(password: str, name: str) -> None:
    encoded = quote(password, safe="")
    assert "s3cretQ" not in without_passwords(f"http://h/cam?user=a&{name}={encoded}&channel=1 is gone")
    assert "s3cretQ" not in address_shown(f"rtsp://h/cam?{name}={password}")
    assert "s3cretQ" not in address_shown(f"rtsp://h/user=admin_{name}={encoded}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:pw@host/x", "rtsp://user:***@host/x"),
        ("rtsp://:pw@host", "rtsp://:***@host"),
        ("https://ghp_123@host/x", "https://***@host/x"),
        ("http://host:9469/metrics at 12:30, 'rtsp://host'", "http://host:9469/metrics at 12:30, 'rtsp://host'"),
        ("rtsp://a:b@c\nrtsp://d:e@f, no.one@example", "rtsp://a:***@c\nrtsp://d:***@example"),
        ("write to a@b", "write to a@b"),
    ],
)
def test_what_a_text_becomes(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://u:p@host:554/a?b=c", "rtsp://host:554/a"),
        ("rtsp://[::1]:554/a#b", "rtsp://[::1]:554/a"),
        ("rtsp://[::1]", "rtsp://[::1]"),
        ("rtsp://admin:s3cret/stream", "rtsp://admin/stream"),
        ("admin:s3cret@host/x", "host/x"),
        ("rtsp://host/${CHANNEL}", "rtsp://host/${CHANNEL}"),
    ],
)
def test_how_an_address_is_shown(address: str, shown: str) -> None:
    assert address_shown(address) == shown
