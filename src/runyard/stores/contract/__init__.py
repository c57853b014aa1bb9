"""The Store contract: what the engine may ask of a database, and what it may rely on.

**Writing.** Every write method enqueues one atomic piece of work and returns when the transaction
that holds it has committed. Calls made in the same turn of the event loop, or while a transaction
is under way, share the next one (group commit), in the order in which they were made; so "start"
followed by "claim" without an await between them is one transaction in which the claim sees the
start. A piece never fails half: its guards are conditions in SQL, and the answer names the rows
that won. Losers are simply absent from the answer.

**Durability.** A returned write survives kill -9 and power loss, except where a method says
*relaxed*: such a piece does not force a flush by itself (it becomes durable with the next one that
does). Nothing is lost by that, because of the incarnation: it rises durably whenever a store is
opened, and lease tokens begin with it.

**Reading.** Reads see every write that returned before they began. They never block writes.

**Companies.** Every method that takes an id from outside takes the company too, and finds nothing
when the two do not belong together.

**Back-pressure.** Beyond 5,000 waiting pieces or 32 MB the write methods raise `Overloaded`
immediately.

Instants are aware UTC datetimes with microseconds. Ids are handed in; `reserve_ids` deals them.

**Where what stands.** `store` has the Store itself. Each thing that it keeps is one of its attributes
and one module here, with the values that are written and read:

runs          starting, ending and moving runs, and reading them with their values
leases        claiming runs, and which session holds which
queues        what is counted of runs that wait
histories     attempts, changes and restarts of a run
listing       filters, positions and pages of lists, whatever they list
tasks         deploys, versions, bundles in use, gates
companies     companies and their orchestrators
schedules     plans that start runs
preparations  runs whose input files are being fetched
at_once       runs that begin at once or not at all
callbacks     the outbox of requests that a run's end leads to
calls         allocations and the records of real-time calls
logs          lines that runs log
files, blobs  rows of stored files; the bytes of these, of large values and of bundles
workers       workers and their sessions
tokens, credentials, users, systems
              everybody who may come in, and by what
audit         what somebody did, or tried to
peering       what servers that share a database tell and ask each other
"""
