"""Subcommands of `reenact`, one file each."""
