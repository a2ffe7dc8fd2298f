"""What happens to the shop when something is killed, full or hung up on, and whether anybody loses by it.

All are marked `faults`.
"""

import os

SECONDS = float(os.environ.get("FAULTS_SECONDS", "10"))
"""How long traffic meets kills, for each database."""
