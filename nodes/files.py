"""Files that the save and load nodes share: names in the host's folders, and what is shown of them."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..reenact_core.errors import ReenactError
from .folders import SAMPLES

SAMPLE = " [sample]"


def listed(ending: str) -> list[str]:
    """Names of the files with this ending in the host's input and output folders, and among the samples."""
    names = _below(folder_paths.get_input_directory(), ending, "")
    names += _below(folder_paths.get_output_directory(), ending, " [output]")
    return names + _below(str(SAMPLES), ending, SAMPLE)


def path_of(name: str) -> Path:
    """The file that a name of `listed` stands for.

    Raises:
        ReenactError: it leads out of the host's folders.
    """
    if name.endswith(SAMPLE):
        folder, path = SAMPLES, SAMPLES / name.removesuffix(SAMPLE)
    else:
        bare, chosen = folder_paths.annotated_filepath(name)
        folder = Path(chosen or folder_paths.get_input_directory())
        path = folder / bare
    if "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
        raise ReenactError(f"`file` is {name!r}, which lies outside the input and output folders. Choose one inside.")
    return path


def problem_with(name: str) -> str | None:
    """Why the file cannot be used, or None."""
    try:
        missing = not path_of(name).is_file()
    except ReenactError as error:
        return str(error)
    return f"`file`: {name!r} does not exist. Save it first, or choose another one." if missing else None


def fingerprint(name: str) -> str:
    """What changes when the file does."""
    try:
        about = path_of(name).stat()
    except (OSError, ReenactError):
        return "missing"
    return f"{about.st_mtime_ns} {about.st_size}"


def next_path(prefix: str, ending: str) -> tuple[Path, str]:
    """A new file in the host's output folder, and the name by which the load nodes know it.

    Raises:
        ReenactError: it names no file, or leads out of the output folder.
    """
    if not prefix.strip() or prefix.strip()[-1] in "/\\." or "\0" in prefix:
        raise ReenactError(f"`filename_prefix` is {prefix!r}, which names no file. Give one, as in reenact/first.")
    output = Path(folder_paths.get_output_directory()).resolve()
    if not (output / prefix).resolve().is_relative_to(output):
        raise ReenactError(
            f"`filename_prefix` is {prefix!r}, which lies outside the output folder. Give a name below it."
        )
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, str(output))
    file = f"{name}_{counter:05}_{ending}"
    return Path(folder) / file, f"{os.path.join(subfolder, file)} [output]".replace(os.sep, "/")


def _below(folder: str, ending: str, mark: str) -> list[str]:
    found = [path for path in Path(folder).rglob(f"*{ending}") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() + mark for path in found)
