"""The Automation Anywhere dialect: API Tasks called in real time, and what its clients need around it.

    routes          the table of operations, the OpenAPI document, the doors
    admission       who is let in: the signed token in X-Authorization or as Bearer
    shapes          what goes over the wire
    wire            our errors as the dialect's: one total mapping, pure
    values          the dialect's values as ours and back, by declared types
    filters         filters, sorting and pages of its lists
    authentication, allocations, execution, deploys, activity, repository, auditing, people
                    one module per group of operations

Compatible with the API as it is publicly described; what is not public is Runyard's own choice, and
docs/automation-anywhere.md says which.
"""
