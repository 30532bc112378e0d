"""The kernel's fence around a process that does a tenant's work: Landlock, and no capabilities.

Landlock (https://docs.kernel.org/userspace-api/landlock.html) needs no root, no namespace and no
user of our own, and nothing that runs in the process can take it off again. Beside the work folder
only the folders of the step's own connections can be written; beside those, only code, certificates
and what resolves names can be read; other processes can be neither traced nor signalled; and where
the step's ports are known, it connects to no other. Older kernels enforce as much of it as they
know; other systems nothing: see docs/explanation/security.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from datanika.contracts.steps import ResolvedConnection

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on x86-64 and arm64."""
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
READ = _EXECUTE | _READ_FILE | _READ_DIR
_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND, _CONNECT = 1 << 0, 1 << 1
_NET_SINCE = 4
_SCOPES = 1 << 0 | 1 << 1
"""Abstract sockets and signals."""
_SCOPES_SINCE = 6

CODE = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store")
SYSTEM = (
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ca-certificates.conf"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/ld.so.cache"),
    *("/etc/passwd", "/etc/group", "/etc/mime.types", "/etc/os-release", "/run/systemd/resolve"),
    *("/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
"""What libraries read. Landlock itself keeps other processes' environ and mem in /proc shut."""
WRITABLE = ("/dev/null", "/dev/shm")
"""dbt keeps its locks, POSIX semaphores, in /dev/shm."""

DNS = 53
PORTS = {"postgres": 5432, "mysql": 3306, "redshift": 5439}
"""Kinds that connect to one port only, and the port unless their configuration names another."""
LOCAL = frozenset({"duckdb", "files", "sqlite"})
"""Kinds that connect to nothing."""


def version() -> int:
    """Landlock's version in this kernel; 0: none."""
    if sys.platform != "linux":
        return 0
    found: int = ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION)
    return max(0, found)


def enclose(folder: Path, connections: Iterable[ResolvedConnection]) -> int:
    """Fence this process in for good: its ``folder`` and what ``connections`` need are left to it.

    The version of Landlock that does it, 0 where there is none. Raises OSError when the kernel has
    it and refuses.
    """
    given = list(connections)
    drop_capabilities()
    known = version()
    if known == 0:
        return 0
    every = max(bits for since, bits in _ALL_BY_VERSION.items() if since <= known)
    ports = ports_of(given)
    net = _BIND | _CONNECT if known >= _NET_SINCE and ports is not None else 0
    scopes = _SCOPES if known >= _SCOPES_SINCE else 0
    libc = ctypes.CDLL(None, use_errno=True)
    # An older kernel knows a shorter struct, and refuses more of it unless the rest is zero.
    attributes = struct.pack("=QQQ", every, net, scopes)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        raise _error("landlock_create_ruleset")
    try:
        for name in (*code_folders(), *SYSTEM):
            _allow(libc, ruleset, Path(name), READ & every)
        roots = [Path(one.root) for one in given if one.root]
        for root in roots:
            # An organisation's first file: what does not exist cannot be allowed.
            root.mkdir(parents=True, exist_ok=True)
        for path in (*map(Path, WRITABLE), folder, *roots):
            _allow(libc, ruleset, path, every)
        for port in sorted(ports or ()) if net else ():
            rule = struct.pack("=QQ", _CONNECT, port)
            if libc.syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0):
                raise _error("landlock_add_rule")
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.syscall(_RESTRICT_SELF, ruleset, 0):
            raise _error("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return known


def ports_of(connections: Iterable[ResolvedConnection]) -> set[int] | None:
    """The TCP ports that ``connections`` need; None where only the egress policy can tell."""
    ports = {DNS}
    for connection in connections:
        if connection.kind in PORTS:
            ports.add(int(connection.config.get("port") or PORTS[connection.kind]))
        elif connection.kind not in LOCAL:
            return None
    return ports


@cache
def code_folders() -> tuple[str, ...]:
    """Where this interpreter and everything it can import are."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, *CODE}
    found.update(entry for entry in sys.path if entry and Path(entry).is_dir())
    found.add(str(Path(__file__).parents[2]))
    return tuple(sorted(found))


def drop_capabilities() -> None:
    """Root without its powers: no mounts, no modules, no files of others, no raw sockets."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(OSError, ValueError):
        for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
            libc.prctl(24, number, 0, 0, 0)
    # Version 3 of the header, this process; two sets of (effective, permitted, inheritable).
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    if libc.capset(header, nothing):
        raise _error("capset")


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there need not be allowed.
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, descriptor)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0):
            raise _error(f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
