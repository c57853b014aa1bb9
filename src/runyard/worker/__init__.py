"""The process that executes runs: the connection to the server, warm children, bundles.

    server ── frames ── Worker ── Pool ── Child ══ work channel ══ the child's own loop
                          │         └── Zygote ── forks, kills, reaps ──┘
                          └── Supplies: bundles, environments, files

A *zygote* is a lean, single-threaded process started by exec with an empty environment, one per
environment (the base one, or a bundle's requirements). It has loaded the SDK and nothing else,
and forks children in about two milliseconds. It never runs task code. It adopts whatever its
children leave behind, and reports the end of a child only after everything that the child had
started is dead too; so "killed" always means all of it.

A *child* belongs to (environment, bundle, company), executes one run at a time and serves every
task of its bundle. Work reaches it as one packet per run over a sequenced-packet socket. The
worker keeps the child's receiving end open as well: a packet that the child has not yet taken can
be taken back by reading it there, and the kernel gives each packet to exactly one reader. That is
how a recall is exact even for runs that already stand before a busy child.

Task code runs in children and nowhere else: not for inspection, not to read its requirements.
"""

VERSION = "0.1.0"
"""The release of this worker and its SDK."""
