"""Everything that leaves Runyard leaves through here: callbacks, input files, later agents.

Whoever may name an address that a server then visits can make it visit what only the server
reaches: the database beside it, a router's page, the cloud's metadata with its credentials. So one
client sends all requests, and it is careful by default:

    addresses   one strict reading of a URL; what can be read two ways is refused
    networks    which addresses are not the public internet's, each with the rule that says so
    names       the one look at DNS for a connection
    guard       connects to exactly the addresses that were looked at, whatever DNS says later
    connections what is kept open between requests
    client      redirects, each judged like a first address; limits to time, size and pace
    base        the contract: what the engine may ask for, without knowing how it is done

The judgement stands where connections are made, below everything that reads URLs, speaks TLS or
follows redirects: no mistake above it can open what the rules close. What an operator wants to open
all the same stands in the setting `allow_outbound`, which every refusal names.
"""
