"""Files that are the user's alone: corpora, chats and caches.  Folders have permissions 0700, files 0600; what
lies in a folder of ragkit's own is never reached through a symbolic link.  Windows has no such permissions: there,
files have those of the folder that they are in.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ragkit import platform


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is."""
    if not path.is_dir():
        if not path.parent.exists():
            make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """For `open`: a new file is the user's alone."""
    return os.open(path, flags, 0o600)


def unlinked(path: str, flags: int) -> int:
    """The same, for a file in a folder of ragkit's own: a symbolic link is an `OSError`."""
    return platform.HERE.open_unlinked(path, flags, 0o600)


def close_to_others(path: Path) -> None:
    """Take from others what a library gave them of a file or folder that it made."""
    path.chmod(0o700 if path.is_dir() else 0o600)


def is_own(path: Path) -> bool:
    """Is there a file or folder of the user's, which is no symbolic link?"""
    try:
        known = path.lstat()
    except OSError:
        return False
    return platform.HERE.is_mine(known) and not stat.S_ISLNK(known.st_mode)
