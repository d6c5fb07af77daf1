"""One bridge as a whole: `composition` builds, starts and stops it; `options` tells each part what it needs.

Imports none of them here: commands use one without the others.
"""
