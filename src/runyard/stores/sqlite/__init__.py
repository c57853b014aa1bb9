"""The embedded database: SQLite through apsw, one writer process.

The server never writes to the database file. It hands groups of pieces to a child process (`writer`)
over a pair of sockets: one frame per group, one frame back, so that hundreds of callers cost two
system calls and one fsync. The writer is the only one that writes and checkpoints; it dies with the
server, and when it dies alone the server starts another one.

    database    the server's side: what waits, what is under way, who is answered; reads
    readers     connections that only read: one for the event loop, some for worker threads
    pipe        frames on a socket, for both sides
    writer      the child process: transactions, checkpoints, replay after an error
    claims      the strategy of a claim, inside the writer's transaction
    blobs       large values and files in a folder
    store       opening and closing it all

A group holds everything that waited when the one before it was answered, in the order in which the
callers came. Only when more waits than a group takes do the write classes decide who goes first.
A group of relaxed pieces commits without an fsync; the next group that is not makes it durable too.

An SQL error in a group is a defect or a full disk, never a lost race: guards are conditions. The
writer rolls the group back and runs its pieces again one by one, so that only the guilty one fails;
when the disk is full or the file cannot be written, all fail at once with a clear error, and the
next group simply tries again.

When the writer dies, the pieces that it had been sent may or may not be committed. Claims are
looked up by their tokens, relaxed pieces are sent again (their guards make that harmless), and the
callers of all others are told that the fate of their write is unknown.
"""
