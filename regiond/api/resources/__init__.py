"""The resources of the API, one module each: what is asked, whom to call, how it is encoded."""
