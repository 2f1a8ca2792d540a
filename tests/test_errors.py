"""Tests of :mod:`mtl_edge.errors`."""

import pytest

from mtl_edge import errors
from mtl_edge.errors import MissingExtraError, MtlEdgeError, needs_extra


def test_a_missing_package_becomes_the_command_that_installs_it() -> None:
    """The message names the package and the exact pip command."""
    with pytest.raises(MissingExtraError) as caught, needs_extra("train"):
        import absent_package_of_this_test  # noqa: F401
    assert str(caught.value) == (
        "this needs the package 'absent_package_of_this_test', which is not installed: pip install 'mtl-edge[train]'"
    )


def test_a_missing_submodule_is_told_by_its_package() -> None:
    """``import package.part`` asks for the package."""
    with pytest.raises(MissingExtraError, match="the package 'absent_package_of_this_test',"), needs_extra("report"):
        import absent_package_of_this_test.part  # noqa: F401


def test_a_missing_module_of_mtl_edge_is_not_disguised() -> None:
    """A module that mtl-edge itself lacks is a bug, and stays a ModuleNotFoundError."""
    with pytest.raises(ModuleNotFoundError, match=r"mtl_edge\.absent"), needs_extra("train"):
        import mtl_edge.absent  # noqa: F401


def test_a_name_that_a_module_lacks_is_not_disguised() -> None:
    """Only an absent module is a matter of installation."""
    with pytest.raises(ImportError) as caught, needs_extra("train"):
        from pathlib import absent_name  # noqa: F401
    assert not isinstance(caught.value, MtlEdgeError)


def test_every_error_is_an_mtl_edge_error_in_the_drawn_tree() -> None:
    """One base catches them all, and the module's docstring draws each of them."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.__name__ for kind in kinds if issubclass(kind, MtlEdgeError)} == {kind.__name__ for kind in kinds}
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in kinds if kind.__name__ not in errors.__doc__] == []
