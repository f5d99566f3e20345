"""Motion models. Every module of this folder is imported, so a new file is all it takes."""

from pkgutil import iter_modules

__all__ = [module.name for module in iter_modules(__path__)]

from . import *  # noqa: F403
from .base import MotionModel, model_names
from .loading import load_model

__all__ += ["MotionModel", "load_model", "model_names"]
