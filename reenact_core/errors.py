"""Errors a user can act on. Every message says what was wrong, what was seen and what to do."""


class ReenactError(ValueError):
    """Base of all errors caused by input; the command line prints it as one line and exits with 2."""


class ImageError(ReenactError):
    """An image file or tensor cannot be used."""


class VideoError(ReenactError):
    """A video or frame folder cannot be read or written."""


class FaceError(ReenactError):
    """No usable face, or not the face that was asked for."""


class CheckpointError(ReenactError):
    """A weights file is missing, damaged, or not what its name says."""
