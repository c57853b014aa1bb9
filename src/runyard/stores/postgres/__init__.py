"""The shared database: PostgreSQL through psycopg, any number of servers beside each other.

    link         one connection in pipeline mode, driven by callbacks
    statements   named queries with arrays as parameters, and the encoding of values
    groups       what stands in one transaction: waves, flights, merged statements (pure)
    claims       the strategy of a claim: lock the gates, then count and take
    lane         one writing connection: a group's transaction, replay, lost connections
    writer       what waits, and which two groups are under way
    readers      a few connections, each carrying as many queries at once as come
    database     writing and reading as the table code sees them
    peering      what the servers of one database tell each other, and who of them is there
    connecting   settings of a connection, and what is refused
    schema       migrations under one advisory lock
    store        opening and closing it all

**A group** is one transaction. It opens with the lane's number for it (table `lanes`), then come its
statements, merged by query over all pieces, in as few flights as the answers allow. COMMIT goes out
only when every answer that a caller will get has arrived: either the group is committed and all
answers are known, or nobody was told anything. Groups whose pieces are all relaxed commit with
`synchronous_commit = off`.

**Two groups at once** (one per lane) let one be executed while the other is flushed to disk. Nothing
may be seen in the wrong order because of it:

- Pieces that name the same run. When a run of the later group is named in the earlier one, the later
  group is not sent before the earlier has ended.
- A start or a finish, then a claim that is to see it. Of one turn of the event loop they are in one
  group, and there claims come after everything that changes runs or gates. Across groups, the claims
  of the later group are sent only when the earlier one has ended; its other pieces need not wait.
- Pieces that name no run: a pause, a deploy, a session that closes. A group with one of them neither
  overtakes a group nor is overtaken.
- A caller who waited for an answer before the next call needs none of this: the first is committed.

Two lanes cannot deadlock on gates: all gates of a group's claims are locked in one statement ordered
by id, after which the transaction locks nothing that another would hold while waiting for a gate:
runs that somebody holds are skipped. Rows of runs are locked ordered by id. Where transactions of two
servers still meet head on, the loser is rolled back by the database and tried again.

**Errors.** A race is never an error: guards are conditions, and losers are absent from the answer. On
any other error the group is rolled back and its pieces are replayed one by one, so that only the
guilty one fails.

**Lost connections.** A group whose COMMIT had not been sent is not committed: it is sent again over a
new connection. One whose COMMIT had been sent is asked for: the lane's row says which of its groups
was committed last, and reading it under the row's lock waits until the old transaction has ended one
way or the other. Then it is answered or sent again. Only groups known not to be committed are ever
given up, with `StorageUnavailable`, when the database stays away for ten seconds.
"""
