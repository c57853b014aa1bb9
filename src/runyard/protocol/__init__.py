"""What Runyard's own programs say to each other. Sans-I/O: bytes in, values out, and back.

A worker connects outbound and speaks first. One conversation:

    worker                          server
    Hello            ->
                     <-             Welcome (or Refusal, then the end)
    Capacity         ->
                     <-             Introduction (once per task version and session)
                     <-             Assignments
    Begun            ->                            (the first line of task code is next)
    LogLines, ...    ->
    Ended            ->
                     <-             Recall / Kill / Inspect / Drain   (answered by request id)

The server never has more runs at a worker than the worker's last `Capacity`. Every report about a
run carries the lease token it was claimed under; a report under an older token changes nothing.
Unknown fields are ignored, unknown frames are an error, versions are agreed once at the hello.
"""
