"""`ragkit serve`: answers, papers and their evidence over HTTP.  Needs the extra `serve`.

`app` puts it together; `service` is what all routes share, `engine` runs questions and ingests beside the
server's event loop, and `running` keeps the events of a question, so that a client that lost its connection can read on.
"""
