"""Golden files: how the API, links, operations and events look, so that a refactoring changes none of it by accident.

    python -m tests.golden --write        # writes all files again: commit them with the change that is meant
    python -m tests.golden.pages FOLDER   # writes every web page: compare the folders of two commits by `diff -r`

| File | Has |
|---|---|
| `openapi.json`, `describe.json` | the descriptions as the API serves them |
| `rpc_frames.txt` | each frame of a link, with samples of each command's call and reply |
| `operation_requests.json` | keys and types of `operation.request` of each kind |
| `event_texts.json` | messages of each kind of event |

The last two are recorded from a run of all scenarios of the crash matrix, without a fault.
"""
