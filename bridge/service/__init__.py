"""One bridge as a whole: `composition` builds, starts and stops it; `options` tells each part what it needs."""

from bridge.service.composition import Service

__all__ = ["Service"]
