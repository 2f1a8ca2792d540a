"""Arrays of an ``.npz`` as files of their own, so that they can be mapped: an archive's members cannot."""

import shutil
import zipfile
from pathlib import Path

from mtl_edge.data.limits import check_archive
from mtl_edge.data.splits import Samples, file_name, load_samples
from mtl_edge.errors import DataError


def unpack_npz(path: Path, folder: Path) -> Samples:
    """Unpack an archive into a folder, piece by piece, and map what is in it.

    Raises:
        DataError: the file cannot be read, is not an npz, holds no array, objects, or arrays of unequal length.
    """
    folder.mkdir(parents=True)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    with stream:
        try:
            needed, free = check_archive(stream, str(path)), shutil.disk_usage(folder).free
            if needed > free:
                raise DataError(f"{path}: must have {needed} bytes of space in {folder} to be unpacked, found {free}")
            with zipfile.ZipFile(stream) as archive:
                for member in archive.namelist():
                    into = folder / file_name(member.removesuffix(".npy"))
                    with archive.open(member) as source, into.open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
        except (OSError, DataError):  # of the folder that is written to
            raise
        except Exception as error:  # zipfile raises many kinds for a damaged archive
            raise DataError(f"{path}: is not a readable .npz of plain arrays: {error}") from error
    return load_samples(folder, place=str(path))
