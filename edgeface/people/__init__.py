"""Who is in view: tracks, their motion, how well each is seen, what is asked about them, what is known of their visit.

Pure: no clock, no network, no thread.
"""
