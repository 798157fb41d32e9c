"""The home folder: secrets stay private, and the socket's path stays short enough."""

from __future__ import annotations

import stat

from regions.world.home import Home, write_private


def test_a_socket_path_that_fits_is_at_home(tmp_path):
    home = Home(tmp_path)
    assert home.place_socket() == tmp_path / "supervisor.sock"
    assert home.socket == tmp_path / "supervisor.sock"


def test_a_socket_path_that_is_too_long_is_elsewhere_and_found_again(tmp_path):
    root = tmp_path / ("deep" * 30)
    root.mkdir()
    home = Home(root)
    path = home.place_socket()
    assert len(str(path)) <= 107
    assert Home(root).socket == path
    home.remove_socket()
    assert not path.parent.exists()
    assert home.socket == root / "supervisor.sock"


def test_the_datastores_password_is_private_and_kept(tmp_path):
    home = Home(tmp_path)
    path = home.ensure_datastore_password()
    password = path.read_text()
    assert len(password) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert home.ensure_datastore_password().read_text() == password


def test_a_private_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
