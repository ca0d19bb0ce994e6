"""What every section of parameters is: validated, frozen, able to fill a class of the library. Reads no file.

Defaults follow the paper where the paper names a value. Classes of the library take plain typed arguments, never a
section; a parameter has one name from the file to the class that uses it.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
FeatureType = Literal["image", "cf", "text"]
EngineName = Literal["local", "ray"]
Made = TypeVar("Made")


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    key: ClassVar[str] = ""
    """Key of the section in the file; empty for one that stands inside another."""

    def make(self, kind: type[Made], **more: Any) -> Made:
        """Return a dataclass whose fields are filled from the parameters of the same names.

        Args:
            kind: a dataclass.
            more: fields that are no parameters, or get another value than theirs.
        """
        names = {field.name for field in dataclasses.fields(kind)} & set(type(self).model_fields)  # type: ignore[arg-type]
        return kind(**{name: getattr(self, name) for name in names} | more)
