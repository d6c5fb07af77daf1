"""One bridge as a whole: `composition` builds, starts and stops it.

Imports none of them here: commands use one without the others.
"""
