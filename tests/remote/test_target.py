"""What names of boxes mean, and which are refused."""

from pathlib import Path

import pytest

from mtl_edge.errors import BenchError
from mtl_edge.remote.target import AndroidBox, Box, SshBox, parse_box, parse_boxes


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("pi", SshBox("pi", "pi")),
        ("me@pi.local:2222", SshBox("me@pi.local:2222", "pi.local", "me", 2222)),
        ("me@[fe80::1%eth0]:22", SshBox("me@[fe80::1%eth0]:22", "fe80::1%eth0", "me", 22)),
        ("adb", AndroidBox("adb")),
        ("adb:emulator-5554", AndroidBox("adb:emulator-5554", "emulator-5554")),
    ],
)
def test_a_box_is_a_host_or_a_device(text: str, box: Box) -> None:
    """User, port and serial number may be missing."""
    assert parse_box(text) == box


@pytest.mark.parametrize(
    "text", ["", "a b", "me@", "pi:99999", "pi:x", "-oProxyCommand=touch x", "-l@pi", "pi:22:23", "adb:a b", "me@pi\n"]
)
def test_anything_else_is_refused(text: str) -> None:
    """Names that programs could take for options among them."""
    with pytest.raises(BenchError, match="--on: must be user@host:port"):
        parse_box(text)


def test_a_file_of_hosts_has_one_a_line(tmp_path: Path) -> None:
    """Without comments, empty lines and repetitions."""
    (tmp_path / "hosts").write_text("# boxes\nme@pi   # the old one\n\nadb\npi\n")
    assert [box.name for box in parse_boxes(["pi"], tmp_path / "hosts")] == ["pi", "me@pi", "adb"]
    (tmp_path / "none").write_text("# nothing\n")
    with pytest.raises(BenchError, match="must name a box"):
        parse_boxes([], tmp_path / "none")
