"""The door for people: pages, made on the server from templates, and the files that they need.

door        all pages of people who sign in, at `/console`
admission   who is signed in, by the cookie that the browser presents
forms       what browsers send, and the proof that our own page sent it
cookies     the login's secret, and the secret behind forms
frames      the frame around every page
entrance    set-up links, signing in and out
companies   Home, and the details of a company
account     the user's own settings
users       the installation's users
workers     who executes runs
assets      front-end files, at addresses that carry their digest
rendering   templates become pages
problems    errors as pages
reference   API reference pages

A page holds no script and no style of its own: both come as files from this server, and the content
security policy (`runyard.web.pages`) keeps it so. htmx is version 4 here: attributes are not
inherited unless they say so (`hx-target:inherited`), and answers with an error status are swapped
in like any other.
"""
