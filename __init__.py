"""Reenact: multi-reference face reenactment as nodes. The host finds the extension and the web files here."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
