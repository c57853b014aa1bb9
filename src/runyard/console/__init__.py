"""The door for people: pages, made on the server from templates, and the files that they need.

assets      front-end files, at addresses that carry their digest
rendering   templates become pages
problems    errors as pages
reference   API reference pages

A page holds no script and no style of its own: both come as files from this server, and the content
security policy (`runyard.web.pages`) keeps it so. htmx is version 4 here: attributes are not
inherited unless they say so (`hx-target:inherited`), and answers with an error status are swapped
in like any other.
"""
