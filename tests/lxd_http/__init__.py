"""An LXD server over HTTPS that keeps its objects in memory, and answers and refuses in the JSON of LXD 5.0.2.

The driver contract runs on it and on real LXD, which verifies it. A request that it does not model is an error of
status 501, never an answer that LXD would not give.
"""
