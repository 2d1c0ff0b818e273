"""What the figures were measured on."""

import os
import re
import subprocess
from pathlib import Path


def describe(varve, folder, peers):
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    lines = [
        f"{os.cpu_count()} processors ({model()}), {memory_kib / 2**20:.0f} GiB of memory,"
        f" {file_system(folder)}, Linux {os.uname().release.split('-')[0]},"
        f" {first_line(['openssl', 'version'])}; {first_line([varve, '--version'])}"]
    if peers:
        lines.append("; ".join([
            first_line(["redis-server", "--version"], r"v=([\d.]+)", "Redis"),
            package("rabbitmq-server", "RabbitMQ"),
            first_line(["nats-server", "--version"], r"v([\d.]+)", "NATS")]))
    return ". ".join(lines) + "."


def touch_memory(folder, size):
    """Fills so much page cache, of what is available, and gives it back: a virtual machine may have
    to ask its host for memory that it has not used of late, and whoever is first to write there
    would pay for that."""
    size = min(size, available_bytes() * 3 // 4)
    path, part = folder / "memory", bytes(1 << 20)
    with open(path, "wb") as file:
        for _ in range(size // len(part)):
            file.write(part)
    path.unlink()


def available_bytes():
    return 1024 * int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1])


def model():
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else os.uname().machine


def file_system(folder):
    found = subprocess.run(["findmnt", "--noheadings", "--output", "FSTYPE", "--target",
                            str(folder)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "an unknown file system"


def package(name, title):
    found = subprocess.run(["dpkg-query", "--show", "--showformat", "${Version}", name],
                           capture_output=True, text=True, check=False)
    return f"{title} {found.stdout.split('-')[0]}"


def first_line(command, pattern="(.*)", title=None):
    words = [str(word) for word in command]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    found = re.search(pattern, said.splitlines()[0] if said else "")
    version = found[1] if found else "of an unknown version"
    return f"{title} {version}" if title else version
