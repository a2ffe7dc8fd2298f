"""What the shop says of itself: lines of the log, metrics and spans. None of them holds what a person wrote."""
