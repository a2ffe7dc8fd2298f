"""What a client may search for."""

from typing import Annotated

from pydantic import AfterValidator
from pydantic import Field as Limits

from api.models.types import without_nul

MAX_SEARCH_LENGTH = 100
"""Characters: nobody types more into a search box."""

SearchText = Annotated[
    str,
    Limits(min_length=1, max_length=MAX_SEARCH_LENGTH, description="The text to search for, without regard to case."),
    AfterValidator(without_nul),
]
