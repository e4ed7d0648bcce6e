"""System calls by name and number, and which a worker may use: data alone; `seccomp` makes a filter of it.

`ALLOWED` was found by measuring: every decoder, the engine with one and more threads, every encoder, closed-form
matting, imports, the end (tests/integration/test_worker_calls.py runs them and counts refusals).
"""

from __future__ import annotations

from typing import Final

# From asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64), -1 where an architecture has none; a test compares
# them with the headers.
NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "read": (0, 63), "pread64": (17, 67), "readv": (19, 65), "preadv": (295, 69), "write": (1, 64),
    "pwrite64": (18, 68), "writev": (20, 66), "close": (3, 57), "lseek": (8, 62), "fstat": (5, 80),
    "newfstatat": (262, 79), "stat": (4, -1), "lstat": (6, -1), "statx": (332, 291), "open": (2, -1),
    "openat": (257, 56), "openat2": (437, 437), "access": (21, -1), "faccessat": (269, 48),
    "faccessat2": (439, 439), "getdents64": (217, 61), "getcwd": (79, 17), "fsync": (74, 82),
    "fdatasync": (75, 83), "sync_file_range": (277, 84), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fadvise64": (221, 223), "mkdir": (83, -1), "mkdirat": (258, 34), "umask": (95, 166), "dup": (32, 23),
    "dup2": (33, -1), "dup3": (292, 24),
    "pipe2": (293, 59), "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, -1), "epoll_pwait": (281, 22),
    "eventfd2": (290, 19), "brk": (12, 214), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "mincore": (27, 232), "membarrier": (324, 283), "mlock": (149, 228),
    "munlock": (150, 229), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "getcpu": (309, 168), "get_mempolicy": (239, 236),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, -1), "times": (100, 153),
    "restart_syscall": (219, 128), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getpgid": (121, 155), "getsid": (124, 156), "getpriority": (140, 141),
    "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
    "exit": (60, 93), "exit_group": (231, 94), "clone": (56, 220), "mmap": (9, 222), "mprotect": (10, 226),
    "ioctl": (16, 29), "fcntl": (72, 25), "prctl": (157, 167), "arch_prctl": (158, -1), "prlimit64": (302, 261),
    "kill": (62, 129), "tgkill": (234, 131), "readlink": (89, -1), "readlinkat": (267, 78), "clone3": (435, 435),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206),
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "recvfrom": (45, 207), "recvmsg": (47, 212),
    "recvmmsg": (299, 243), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, -1), "vfork": (58, -1),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "chmod": (90, -1), "fchmod": (91, 52),
    "fchmodat": (268, 53), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1),
    "fchownat": (260, 54), "utime": (132, -1), "utimes": (235, -1), "utimensat": (280, 88),
    "futimesat": (261, -1), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "getxattr": (191, 8),
    "lgetxattr": (192, 9), "fgetxattr": (193, 10), "listxattr": (194, 11), "llistxattr": (195, 12),
    "flistxattr": (196, 13), "link": (86, -1), "linkat": (265, 37), "symlink": (88, -1),
    "symlinkat": (266, 36), "unlink": (87, -1), "unlinkat": (263, 35), "rename": (82, -1),
    "renameat": (264, 38), "renameat2": (316, 276), "rmdir": (84, -1), "mknod": (133, -1),
    "mknodat": (259, 33), "truncate": (76, 45), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "inotify_init": (253, -1), "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183), "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setrlimit": (160, 164), "setpriority": (141, 140),
    "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "acct": (163, 89), "quotactl": (179, 60),
    "syslog": (103, 116), "sethostname": (170, 161), "setdomainname": (171, 162), "personality": (135, 92),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "setpgid": (109, 154), "setsid": (112, 157), "capset": (126, 91),
    "mbind": (237, 235), "seccomp": (317, 277), "flock": (73, 32), "setitimer": (38, 103), "timer_create": (222, 107),
    "wait4": (61, 260),
}  # fmt: skip

# Every way to make a socket, to use one that was inherited, or to be handed one over it.
SOCKETS: Final = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg",
    "sendmmsg", "recvfrom", "recvmsg", "recvmmsg",
)  # fmt: skip
# A ring can make sockets without a call to socket(), past any filter on it.
RING: Final = (
    "io_uring_setup", "io_uring_enter", "io_uring_register",
)  # fmt: skip
# Looking into, taking from or acting on other processes of the same user.
STEAL: Final = (
    "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "kcmp",
)  # fmt: skip
# New programs and processes, and memory that could become one.
PROGRAMS: Final = (
    "execve", "execveat", "fork", "vfork", "memfd_create", "memfd_secret",
)  # fmt: skip
# Landlock guards contents and names, not these: modes, owners, times, extended attributes of any file.
FACTS_OF_FILES: Final = (
    "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat",
    "futimesat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
    "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
)  # fmt: skip
# The supervisor alone gives, moves and removes names; `truncate` takes a path, past an old Landlock.
NAMES_OF_FILES: Final = (
    "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2",
    "rmdir", "mknod", "mknodat", "truncate", "name_to_handle_at", "open_by_handle_at",
)  # fmt: skip
# The names of files that come and go in folders one may not read.
WATCHES: Final = (
    "inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark",
)  # fmt: skip
# System V and POSIX objects belong to no folder, so Landlock does not know them.
SHARED_MEMORY: Final = (
    "shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop",
    "semctl", "semtimedop", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify",
    "mq_getsetattr",
)  # fmt: skip
# Signals, limits, priorities and processors of other processes of the same user.
OTHERS: Final = (
    "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setrlimit", "setpriority", "ioprio_set",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "migrate_pages",
    "move_pages",
)  # fmt: skip
# What past escapes from sandboxes began with; most of it needs rights that are gone anyway.
SYSTEM: Final = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "bpf", "perf_event_open", "userfaultfd", "add_key",
    "request_key", "keyctl", "init_module", "finit_module", "delete_module", "kexec_load", "reboot",
    "swapon", "swapoff", "settimeofday", "clock_settime", "acct", "quotactl", "syslog", "sethostname",
    "setdomainname", "personality",
)  # fmt: skip
# Who this process is.
IDENTITY: Final = (
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid",
    "setfsgid", "setpgid", "setsid", "capset",
)  # fmt: skip
# Refused to every worker, whatever its engine's driver would like.
REFUSED: Final = (
    *SOCKETS, *RING, *STEAL, *PROGRAMS, *FACTS_OF_FILES, *NAMES_OF_FILES, *WATCHES, *SHARED_MEMORY, *OTHERS,
    *SYSTEM, *IDENTITY,
)  # fmt: skip

# What a worker needs, the most frequent first: the kernel goes through the list at each call.
ALLOWED: Final = (
    "read", "pread64", "readv", "preadv", "write", "pwrite64", "writev", "close", "lseek", "fstat",
    "newfstatat", "stat", "lstat", "statx", "open", "openat", "openat2", "access", "faccessat",
    "faccessat2", "getdents64", "getcwd", "fsync", "fdatasync", "sync_file_range", "ftruncate",
    "fallocate", "fadvise64", "mkdir", "mkdirat", "umask", "dup", "dup2", "dup3", "pipe2", "poll", "ppoll", "select",
    "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "brk", "munmap",
    "mremap", "madvise", "mincore", "membarrier", "mlock", "munlock", "futex", "set_robust_list", "rseq",
    "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_get_priority_max",
    "sched_get_priority_min", "getcpu", "get_mempolicy", "mbind", "nanosleep", "clock_nanosleep", "clock_gettime",
    "clock_getres", "gettimeofday", "time", "times", "restart_syscall", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    "getpgid", "getsid", "getpriority", "getrusage", "sysinfo", "uname", "getrandom", "exit", "exit_group",
)  # fmt: skip
