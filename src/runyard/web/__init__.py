"""What every HTTP door shares, so that a door only translates.

One request, from the socket to a door's function:

    dispatcher       which door owns the address (exact segments, never a prefix of a name)
    routing          which route of the door, by segments as they came over the wire
    admission        how this door lets callers in: each door is given its own
    authentication   whose token it is
    permissions      whether that token may use this route for this company: one function decides
    requests         headers, query and body, each within a limit, each refused with a reason
    (the door)       one call of the engine
    responses        the answer as bytes, a stream of bytes, or server-sent events
    problems         any error of Runyard as a status and a code: a total mapping

A door is a prefix, a table of routes, an admission, and the form that its problems take (`door`).

Every route declares its permission, and a path is public only if its route says so: there is no
rule about prefixes or endings that could be talked around.
"""
