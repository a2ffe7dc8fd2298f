"""What happens to the shop when something is killed, full or hung up on, and whether anybody loses by it.

All are marked `faults`. `FAULTS_SECONDS` says for how long traffic meets kills, for each database: 10 unless it is set.
"""
