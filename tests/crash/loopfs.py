"""An ext4 file system of its own in a file, whose power can be cut.

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

_mounted = set()


@atexit.register
def _unmount_all():
    for loop in list(_mounted):
        subprocess.run(["umount", "--lazy", loop.mount_point], check=False, capture_output=True)


class Unavailable(Exception):
    """This machine has no loop devices for us."""


class LoopFs:
    """A mounted file system of `mib` MiB."""

    def __init__(self, folder, mib):
        self.image = Path(folder) / "disk.img"
        self.mount_point = Path(folder) / "disk"
        self.mount_point.mkdir(parents=True)
        if os.geteuid() != 0:
            raise Unavailable("it needs root")
        if shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise Unavailable("mkfs.ext4 is not installed")
        with open(self.image, "wb") as image:
            image.truncate(mib << 20)
        _run(["mkfs.ext4", "-q", "-m", "0", "-F", self.image])
        self.mount()

    def mount(self, journal="ordered"):
        """Mounts it; `journal` says whether data is written before the journal names it: `ordered`,
        or `writeback` if it need not be."""
        _run(["mount", "-o", f"loop,data={journal}", self.image, self.mount_point])
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
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, env=dict(os.environ, PATH=path))
    if done.returncode != 0:
        raise Unavailable(f"{command[0]}: {done.stderr.strip()}")
