"""``python -m bridge`` is the `argo-bridge` command."""

import sys

from bridge.cli.main import main

sys.exit(main())
