"""A file system of its own in a file, whose power can be cut: ext4 or XFS.

FS_IOC_SHUTDOWN makes the file system forget what was not synced and refuse everything from then on,
as a disk does that lost its power; a new mount finds what a new start would.
"""

import atexit
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

_FS_IOC_SHUTDOWN = 0x8004587D
# Whether the journal is flushed before: not at all, or only the journal.
NO_LOG_FLUSH = (2).to_bytes(4, "little")
LOG_FLUSH = (1).to_bytes(4, "little")

_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

_mounted = set()


@atexit.register
def _unmount_all():
    for loop in list(_mounted):
        subprocess.run(["umount", "--lazy", loop.mount_point], check=False, capture_output=True)


class Unavailable(Exception):
    """This machine has no loop devices for us."""


# How to make each kind, and the options to mount it with.
KINDS = {
    "ext4": (["mkfs.ext4", "-q", "-m", "0", "-F"], "data=ordered"),
    # Data need not be written before the journal names it.
    "ext4, data=writeback": (["mkfs.ext4", "-q", "-m", "0", "-F"], "data=writeback"),
    "XFS": (["mkfs.xfs", "-q", "-f"], "nouuid"),
}


class LoopFs:
    """A mounted file system of `mib` MiB, of one of the `KINDS`."""

    def __init__(self, folder, mib, kind="ext4"):
        self.image = Path(folder) / "disk.img"
        self.mount_point = Path(folder) / "disk"
        self.mount_point.mkdir(parents=True)
        make, self.options = KINDS[kind]
        if os.geteuid() != 0:
            raise Unavailable("it needs root")
        if shutil.which(make[0], path=_PATH) is None:
            raise Unavailable(f"{make[0]} is not installed")
        with open(self.image, "wb") as image:
            image.truncate(mib << 20)
        _run([*make, self.image])
        self.mount()

    def mount(self):
        _run(["mount", "-o", f"loop,{self.options}", self.image, self.mount_point])
        _mounted.add(self)

    def unmount(self):
        _run(["umount", self.mount_point])
        _mounted.discard(self)

    def cut_power(self, mode=NO_LOG_FLUSH):
        directory = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, _FS_IOC_SHUTDOWN, mode)
        finally:
            os.close(directory)

    def free_bytes(self):
        status = os.statvfs(self.mount_point)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes):
        """Takes all space but `leave_bytes` away; `release` gives it back."""
        with open(self.mount_point / "ballast", "ab") as ballast:
            size = ballast.tell()
            for _ in range(3):
                more = self.free_bytes() - leave_bytes
                if more <= 0:
                    break
                try:
                    os.posix_fallocate(ballast.fileno(), size, more)
                    size += more
                except OSError:
                    # The server took some in between.
                    continue

    def release(self):
        (self.mount_point / "ballast").unlink()


def _run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, env=dict(os.environ, PATH=_PATH))
    if done.returncode != 0:
        raise Unavailable(f"{command[0]}: {done.stderr.strip()}")
