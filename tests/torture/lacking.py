"""Has the disk lack what the page cache shows, as after a sync that failed: the kernel takes such
pages for clean and does not write them again."""

import contextlib
import fcntl
import mmap
import os
import struct

import stores

_FS_IOC_FIEMAP = 0xC020660B
# Start, length, flags, extents found, extents that fit.
_FIEMAP = struct.Struct("<QQIIII")
# Where in the file, where on the disk, how much.
_EXTENT = struct.Struct("<QQQ32x")
_EXTENTS_MAX = 64
# Else the kernel may drop a page and read what the disk has.
_MAP_LOCKED = 0x2000


@contextlib.contextmanager
def tail(disk, directory):
    """Takes from the disk all frames of a log that nothing on it calls durable, while the server is
    down; gives how many records those are. As long as this lasts the cache shows them."""
    store = stores.paths(directory)[-1]
    frames = list(stores.frames(store.read_bytes()))
    durable = max([int(store.stem), stores.checkpointed(directory),
                   *(frame.durable_end for frame in frames)])
    unsure = [frame for frame in frames if frame.base >= durable]
    with open(store, "r+b") as file, contextlib.ExitStack() as held:
        if unsure:
            os.fsync(file.fileno())
            held.enter_context(mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED | _MAP_LOCKED,
                                         mmap.PROT_READ))
            take(disk, file.fileno(), unsure[0].start, unsure[-1].end)
        yield sum(frame.records for frame in unsure)


def take(disk, file, start, end):
    """Zeros on the disk alone for these bytes of a file."""
    answer = bytearray(_FIEMAP.size + _EXTENTS_MAX * _EXTENT.size)
    _FIEMAP.pack_into(answer, 0, start, end - start, 0, 0, _EXTENTS_MAX, 0)
    fcntl.ioctl(file, _FS_IOC_FIEMAP, answer)
    count, taken = _FIEMAP.unpack_from(answer)[3], 0
    with open(disk.image, "r+b") as image:
        for number in range(count):
            at = _FIEMAP.size + number * _EXTENT.size
            logical, physical, length = _EXTENT.unpack_from(answer, at)
            first, last = max(start, logical), min(end, logical + length)
            image.seek(physical + first - logical)
            image.write(bytes(last - first))
            taken += last - first
    if taken != end - start:
        raise OSError(f"the file has {taken} of {end - start} bytes on the disk")
