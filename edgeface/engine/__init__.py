"""One frame's way, without threads: loaded networks, recurrent states, a camera's pipeline, one turn of all cameras."""
