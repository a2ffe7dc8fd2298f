"""The formats of files: how each is called by media types and by the ends of names."""

from enum import StrEnum
from pathlib import PurePath
from typing import Self


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"

    @property
    def media_types(self) -> tuple[str, ...]:
        """The one that an answer has comes first; JSON Lines has no registered one."""
        if self is FileFormat.CSV:
            return ("text/csv",)
        return ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")

    @property
    def media_type(self) -> str:
        return self.media_types[0]

    @property
    def endings(self) -> tuple[str, ...]:
        """Spreadsheets call a file of tabs .tsv or .txt."""
        return (".csv", ".tsv", ".txt") if self is FileFormat.CSV else (".jsonl", ".ndjson")

    @classmethod
    def of_content_type(cls, header: str | None) -> Self | None:
        """The format that a Content-Type names."""
        media_type = (header or "").partition(";")[0].strip().lower()
        return next((each for each in cls if media_type in each.media_types), None)

    @classmethod
    def of_name(cls, name: str | None) -> Self | None:
        """The format that the end of a file's name names."""
        ending = PurePath(name or "").suffix.lower()
        return next((each for each in cls if ending in each.endings), None)
